//! Repositories that do not support `HEAD`, although the specification requires it (OCI distribution specification,
//! "Checking if content exists in the registry"). For these a `GET` is sent at once, which saves a request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::origin::Origin;

/// Time for which no `HEAD` is sent to a repository that does not support it.
const UNSUPPORTED_TTL: Duration = Duration::from_secs(15 * 60);
/// Time for which no `HEAD` is sent to a repository where one timed out, which may have been the network's fault.
const SLOW_TTL: Duration = Duration::from_secs(60);
/// Maximum number of entries of each kind. At the limit all entries of that kind are dropped.
const MAX_REPOSITORIES: usize = 10_000;

/// The `HEAD` support of the repositories of one upstream, for one kind of content.
#[derive(Default)]
pub(super) struct HeadSupport(Mutex<State>);

#[derive(Default)]
struct State {
    /// Content for which a `HEAD` was inconclusive. If a `GET` of the same content succeeds, the method was the
    /// problem.
    inconclusive: HashMap<Origin, String>,
    unsupported: HashMap<Origin, Instant>,
    slow: HashMap<Origin, Instant>,
}

/// Expected outcome of a `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// A conclusive response.
    Likely,
    /// A refusal of the method.
    Unsupported,
    /// A response that takes too long.
    Slow,
}

/// A `HEAD` request in progress. If it is dropped before it has ended, the repository counts as slow.
pub(super) struct Pending<'a> {
    support: &'a HeadSupport,
    origin: &'a Origin,
    ended: bool,
}

impl HeadSupport {
    /// Returns the expected outcome of a `HEAD`.
    pub(super) fn outlook(&self, origin: &Origin) -> Outlook {
        let mut state = self.state();
        if has_fresh(&mut state.unsupported, origin, UNSUPPORTED_TTL) {
            Outlook::Unsupported
        } else if has_fresh(&mut state.slow, origin, SLOW_TTL) {
            Outlook::Slow
        } else {
            Outlook::Likely
        }
    }

    /// Records that a `HEAD` is sent.
    pub(super) fn begin<'a>(&'a self, origin: &'a Origin) -> Pending<'a> {
        Pending { support: self, origin, ended: false }
    }

    /// Records that a `HEAD` of this content was refused or inconclusive.
    pub(super) fn inconclusive(&self, origin: &Origin, content: &str) {
        insert(&mut self.state().inconclusive, origin, content.to_owned());
    }

    /// Records that the repository certainly does not support the request.
    pub(super) fn refused(&self, origin: &Origin) {
        insert(&mut self.state().unsupported, origin, Instant::now());
    }

    /// Records the outcome of a `GET` of this content. If it succeeded after an inconclusive `HEAD` of the same
    /// content, the repository does not support `HEAD`.
    pub(super) fn get_ended(&self, origin: &Origin, content: &str, succeeded: bool) {
        let mut state = self.state();
        if !succeeded {
            state.slow.remove(origin);
        }
        if state.inconclusive.get(origin).is_some_and(|known| known == content) {
            state.inconclusive.remove(origin);
            if succeeded {
                insert(&mut state.unsupported, origin, Instant::now());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending<'_> {
    /// Records that the `HEAD` has ended, with a response or a failure.
    pub(super) fn ended(mut self) {
        self.ended = true;
        self.support.state().slow.remove(self.origin);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.ended {
            insert(&mut self.support.state().slow, self.origin, Instant::now());
        }
    }
}

/// Returns true if the origin has an entry that is not older than `ttl`. Drops an older one.
fn has_fresh(known: &mut HashMap<Origin, Instant>, origin: &Origin, ttl: Duration) -> bool {
    let fresh = known.get(origin).map(|since| since.elapsed() < ttl);
    if fresh == Some(false) {
        known.remove(origin);
    }
    fresh == Some(true)
}

/// Inserts an entry. All entries are dropped before their number exceeds the maximum, which only costs some
/// requests.
fn insert<T>(known: &mut HashMap<Origin, T>, origin: &Origin, value: T) {
    if known.len() >= MAX_REPOSITORIES {
        known.clear();
    }
    known.insert(origin.clone(), value);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::Account;

    fn origin(repository: &str) -> Origin {
        let upstream = "docker.io".parse().unwrap();
        Origin { upstream, account: Account::Anonymous, repository: repository.parse().unwrap() }
    }

    fn likely(support: &HeadSupport, repository: &str) -> bool {
        support.outlook(&origin(repository)) == Outlook::Likely
    }

    #[test]
    fn after_a_head_that_does_not_end_none_is_sent_for_a_while_unless_a_get_fails_as_well() {
        let support = HeadSupport::default();
        let origin = origin("a");
        drop(support.begin(&origin));
        assert_eq!(support.outlook(&origin), Outlook::Slow);
        support.get_ended(&origin, "latest", false);
        assert!(likely(&support, "a"));
        support.begin(&origin).ended();
        assert!(likely(&support, "a"));
    }

    #[test]
    fn a_get_that_succeeds_where_a_head_did_not_is_remembered() {
        let support = HeadSupport::default();
        support.inconclusive(&origin("a"), "latest");
        support.get_ended(&origin("a"), "other", true);
        assert!(likely(&support, "a"), "the other content may just have been there");
        support.get_ended(&origin("a"), "latest", false);
        support.get_ended(&origin("a"), "latest", true);
        assert!(likely(&support, "a"), "it was missing, and came later");
        support.inconclusive(&origin("a"), "latest");
        support.get_ended(&origin("a"), "latest", true);
        assert!(!likely(&support, "a") && likely(&support, "b"));
    }

    #[test]
    fn it_is_tried_again_after_a_while_and_the_memory_is_bounded() {
        let support = HeadSupport::default();
        let before = Instant::now().checked_sub(UNSUPPORTED_TTL).unwrap();
        support.state().unsupported.insert(origin("a"), before);
        assert!(likely(&support, "a") && support.state().unsupported.is_empty());
        for number in 0..=MAX_REPOSITORIES {
            support.inconclusive(&origin(&format!("r{number}")), "latest");
        }
        assert_eq!(support.state().inconclusive.len(), 1);
    }
}
