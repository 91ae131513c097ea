//! Limits on the log lines for refusals of the same kind. A client that fails in a loop must neither fill the log
//! nor hide others in it. Beyond a few lines a minute its refusals are only counted, and the count is logged.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::reason::Reason;
use super::subject::Subject;
use crate::auth::login_limit::network_of;
use crate::telemetry::{LineWindow, MAX_LINES_PER_WINDOW};

/// The refusals that are counted together: those of one client for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    address: IpAddr,
    subject: Subject,
    reason: Reason,
}

/// The decision whether a refusal gets a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It gets one.
    Written {
        /// Number of refusals of the same source before it that got none.
        left_out: u64,
    },
    /// It is counted only.
    LeftOut,
}

/// The counts of the last minute, by source.
#[derive(Default)]
pub(super) struct Allowances(HashMap<Source, LineWindow>);

/// Maximum number of lines in a window for requests without a credential, with which every login begins.
const MAX_CHALLENGES_PER_WINDOW: u32 = 1;
/// Maximum number of sources that are counted separately. All further ones share one source per reason.
const MAX_SOURCES: usize = 10_000;

impl Source {
    /// Creates the source of refusals for this reason. An IPv6 address stands for its network.
    pub(super) fn new(address: IpAddr, subject: Subject, reason: Reason) -> Self {
        Self { address: network_of(address), subject, reason }
    }

    /// Logs the number of lines of this source that were left out.
    pub(super) fn write_left_out(&self, left_out: u64) {
        let subject = &self.subject;
        tracing::info!(
            reason = self.reason.label(),
            principal = subject.principal.map(tracing::field::display),
            principal_name = subject.principal_name,
            credential = subject.credential.map(tracing::field::display),
            credential_name = subject.credential_name,
            token = subject.token.map(|token| token.0),
            address = %self.address,
            left_out,
            "more requests were refused"
        );
    }

    fn max_lines(&self) -> u32 {
        if self.reason == Reason::LoginNeeded { MAX_CHALLENGES_PER_WINDOW } else { MAX_LINES_PER_WINDOW }
    }

    fn shared(reason: Reason) -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), subject: Subject::default(), reason }
    }
}

impl Allowances {
    /// Counts a refusal and decides whether it is logged.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> Admission {
        let is_full = self.0.len() >= MAX_SOURCES && !self.0.contains_key(&source);
        let source = if is_full { Source::shared(source.reason) } else { source };
        let max_lines = source.max_lines();
        let window = self.0.entry(source).or_insert_with(|| LineWindow::new(now));
        window.admit(max_lines, now).map_or(Admission::LeftOut, |left_out| Admission::Written { left_out })
    }

    /// Removes the windows that have ended, or all of them. Returns the sources that had lines left out, with their
    /// number.
    pub(super) fn ended(&mut self, now: Instant, all: bool) -> Vec<(Source, u64)> {
        let ended = self.0.extract_if(|_, window| all || window.has_ended(now));
        ended.map(|(source, window)| (source, window.left_out())).filter(|(_, left_out)| *left_out > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::UserId;
    use crate::domain::principal::Principal;
    use crate::telemetry::WINDOW_LENGTH;

    fn source(last: u32, user: u32) -> Source {
        let subject = Subject { principal: Some(Principal::User(UserId(user.into()))), ..Subject::default() };
        Source::new(IpAddr::V4(Ipv4Addr::from_bits(last)), subject, Reason::Revoked)
    }

    #[test]
    fn a_source_gets_some_lines_a_minute_and_the_next_one_says_how_many_are_missing() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        let admitted: Vec<_> = (0..25).map(|_| allowances.admit(source(1, 1), now)).collect();
        assert_eq!(admitted.iter().filter(|admission| **admission != Admission::LeftOut).count(), 10);
        assert_eq!(allowances.admit(source(2, 1), now), Admission::Written { left_out: 0 });
        assert_eq!(allowances.admit(source(1, 2), now), Admission::Written { left_out: 0 });
        assert_eq!(allowances.admit(source(1, 1), now + WINDOW_LENGTH), Admission::Written { left_out: 15 });
        assert_eq!(allowances.admit(source(1, 1), now + WINDOW_LENGTH), Admission::Written { left_out: 0 });
    }

    #[test]
    fn what_was_left_out_is_reported_when_nothing_follows() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        for _ in 0..25 {
            allowances.admit(source(1, 1), now);
        }
        allowances.admit(source(2, 1), now);
        assert_eq!(allowances.ended(now, false), []);
        assert_eq!(allowances.ended(now + WINDOW_LENGTH, false), [(source(1, 1), 15)]);
        assert_eq!(allowances.0.len(), 0);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_bounded_lines() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        let count = u32::try_from(MAX_SOURCES).unwrap_or(u32::MAX) * 3;
        let admitted = (0..count).map(|last| allowances.admit(source(last + 1, 1), now));
        let written = admitted.filter(|admission| *admission != Admission::LeftOut).count();
        assert!(written <= MAX_SOURCES + 10, "{written}");
        assert!(allowances.0.len() <= MAX_SOURCES + 1);
        let left_out: u64 = allowances.ended(now, true).iter().map(|(_, left_out)| left_out).sum();
        assert_eq!(written as u64 + left_out, u64::from(count));
    }
}
