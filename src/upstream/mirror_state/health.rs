//! The health of one mirror: whether it is skipped, and for which content. Bookkeeping only: sends nothing, writes no
//! log and reads no clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Item;
use crate::domain::backoff::Backoff;
use crate::upstream::error::{RealmError, UpstreamError};

/// Time for which content that was wrong is not requested again.
const WRONG_TTL: Duration = Duration::from_secs(60 * 60);
/// Maximum number of wrong contents. At the limit all are dropped.
const MAX_WRONG: usize = 10_000;
/// Minimum time between two log lines of a kind about the same mirror.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The health of one mirror. The default: it works.
#[derive(Default)]
pub(in crate::upstream) struct Health {
    backoff: Backoff,
    is_failing: bool,
    /// True if it was logged that it fails, and not yet that it works again.
    is_logged: bool,
    failure_logged_at: Option<Instant>,
    wrong: HashMap<Item, Instant>,
    wrong_logged_at: Option<Instant>,
}

/// Conclusion about a mirror from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Finding {
    /// It works, and does not have the content or refuses it.
    Works,
    /// It fails.
    Fails,
    /// The error is not the mirror's.
    Nothing,
}

impl Health {
    /// Returns true if a request for this content may be sent now. After a failure one request at a time is admitted,
    /// until [`Self::release`].
    pub(in crate::upstream) fn admits(&mut self, item: &Item, now: Instant) -> bool {
        let is_wrong = self.wrong.get(item).is_some_and(|since| now < *since + WRONG_TTL);
        !is_wrong && self.backoff.try_request(now)
    }

    /// Admits the next request.
    pub(in crate::upstream) fn release(&mut self) {
        self.backoff.release();
    }

    /// Records that the mirror works. Returns true if that is to be logged.
    pub(in crate::upstream) fn note_success(&mut self) -> bool {
        self.backoff = Backoff::default();
        self.is_failing = false;
        std::mem::take(&mut self.is_logged)
    }

    /// Records that the mirror fails. Returns true if that is to be logged.
    pub(in crate::upstream) fn note_failure(&mut self, now: Instant) -> bool {
        self.backoff.failed(now, None);
        let begins = !std::mem::replace(&mut self.is_failing, true);
        let is_due = begins && is_due(&mut self.failure_logged_at, now);
        self.is_logged |= is_due;
        is_due
    }

    /// Records that this content was wrong. Returns true if that is to be logged.
    pub(in crate::upstream) fn report_wrong(&mut self, item: &Item, now: Instant) -> bool {
        if self.wrong.len() >= MAX_WRONG {
            self.wrong.clear();
        }
        self.wrong.insert(item.clone(), now);
        is_due(&mut self.wrong_logged_at, now)
    }
}

/// Returns what an error shows about the mirror.
pub(in crate::upstream) fn finding(error: &UpstreamError) -> Finding {
    match error {
        UpstreamError::NotFound
        | UpstreamError::Denied { .. }
        | UpstreamError::Refused(_)
        | UpstreamError::Unsupported { .. }
        | UpstreamError::WrongRange
        | UpstreamError::TooLong
        | UpstreamError::TokenRealm(RealmError::Denied { .. }) => Finding::Works,
        UpstreamError::RateLimited(_)
        | UpstreamError::Unreachable { .. }
        | UpstreamError::TimedOut
        | UpstreamError::ServerError(_)
        | UpstreamError::Storage { .. }
        | UpstreamError::InvalidResponse { .. }
        | UpstreamError::TokenRealm(_)
        | UpstreamError::ForbiddenAddress { .. }
        | UpstreamError::Interrupted { .. } => Finding::Fails,
        UpstreamError::Busy
        | UpstreamError::InBackoff(_)
        | UpstreamError::Reserved(_)
        | UpstreamError::Offline
        | UpstreamError::NotConfigured
        | UpstreamError::UnreadableAccount
        | UpstreamError::Lost => Finding::Nothing,
    }
}

fn is_due(logged_at: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = logged_at.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL);
    if is_due {
        *logged_at = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> Item {
        Item::Tag(name.to_owned())
    }

    #[test]
    fn a_mirror_that_fails_is_skipped_and_then_tried_by_one_request_at_a_time() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(health.note_failure(now) && !health.note_failure(now), "logged once");
        assert!(!health.admits(&tag("a:1"), now));
        let later = now + Duration::from_secs(1);
        assert!(health.admits(&tag("a:1"), later) && !health.admits(&tag("b:1"), later));
        assert!(health.note_success() && !health.note_success(), "logged once");
        assert!(health.admits(&tag("a:1"), later) && health.admits(&tag("b:1"), later));
    }

    #[test]
    fn a_mirror_that_fails_again_and_again_is_logged_once_a_minute() {
        let (mut health, now) = (Health::default(), Instant::now());
        let is_logged = (0..120).filter(|second| {
            let is_logged = health.note_failure(now + Duration::from_secs(*second));
            health.note_success();
            is_logged
        });
        assert_eq!(is_logged.count(), 2);
    }

    #[test]
    fn wrong_content_alone_is_skipped_for_an_hour() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(health.report_wrong(&tag("a:1"), now) && !health.report_wrong(&tag("b:1"), now));
        assert!(!health.admits(&tag("a:1"), now) && health.admits(&tag("c:1"), now));
        assert!(health.admits(&tag("a:1"), now + WRONG_TTL));
    }

    #[test]
    fn a_refusal_shows_that_the_mirror_works_and_a_refused_login_that_it_is_of_no_use() {
        assert_eq!(finding(&UpstreamError::NotFound), Finding::Works);
        assert_eq!(finding(&RealmError::Denied { status: 401 }.into()), Finding::Works);
        assert_eq!(finding(&RealmError::Refused { status: 401, message: None }.into()), Finding::Fails);
        assert_eq!(finding(&UpstreamError::TimedOut), Finding::Fails);
    }
}
