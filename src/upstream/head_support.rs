//! Which repositories do not support `HEAD` although the specification demands it (OCI distribution specification, "Checking if
//! content exists in the registry"): what a `HEAD` leaves open there is decided by a `GET` at once, which saves a request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::origin::Origin;

/// How long a repository is spared `HEAD`; then it is tried again.
const UNSUPPORTED_MEMORY: Duration = Duration::from_secs(15 * 60);
/// The same for one whose `HEAD` did not end in time, which may have been the network's fault.
const SLOW_MEMORY: Duration = Duration::from_secs(60);
const MAX_REPOSITORIES: usize = 10_000;

/// What is known of the repositories of one upstream, for one kind of content.
#[derive(Default)]
pub(super) struct HeadSupport(Mutex<State>);

#[derive(Default)]
struct State {
    /// What a `HEAD` left open: the same content by `GET` tells whether it was the method.
    open: HashMap<Origin, String>,
    unsupported: HashMap<Origin, Instant>,
    slow: HashMap<Origin, Instant>,
}

/// What a `HEAD` may be expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// To say something.
    Likely,
    /// To be refused.
    Unsupported,
    /// To take too long.
    Slow,
}

/// A `HEAD` that is under way. Dropped before it has ended, it was too slow for whoever sent it.
pub(super) struct Pending<'a> {
    support: &'a HeadSupport,
    origin: &'a Origin,
    ended: bool,
}

impl HeadSupport {
    /// What to expect of a `HEAD`.
    pub(super) fn outlook(&self, origin: &Origin) -> Outlook {
        let mut state = self.state();
        if holds(&mut state.unsupported, origin, UNSUPPORTED_MEMORY) {
            Outlook::Unsupported
        } else if holds(&mut state.slow, origin, SLOW_MEMORY) {
            Outlook::Slow
        } else {
            Outlook::Likely
        }
    }

    /// Notes that a `HEAD` is sent.
    pub(super) fn begin<'a>(&'a self, origin: &'a Origin) -> Pending<'a> {
        Pending { support: self, origin, ended: false }
    }

    /// Notes that a `HEAD` of this content was refused, or affirmed nothing.
    pub(super) fn left_open(&self, origin: &Origin, content: &str) {
        insert(&mut self.state().open, origin, content.to_owned());
    }

    /// Notes that the repository does not support it for certain.
    pub(super) fn refused(&self, origin: &Origin) {
        insert(&mut self.state().unsupported, origin, Instant::now());
    }

    /// Notes how a `GET` of this content ended: where it succeeded, a `HEAD` of it that did not was refused for its method.
    pub(super) fn get_ended(&self, origin: &Origin, content: &str, succeeded: bool) {
        let mut state = self.state();
        if !succeeded {
            state.slow.remove(origin);
        }
        if state.open.get(origin).is_some_and(|open| open == content) {
            state.open.remove(origin);
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
    /// There was a response, or a failure.
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

/// Whether this was noted for the origin, and not too long ago.
fn holds(known: &mut HashMap<Origin, Instant>, origin: &Origin, memory: Duration) -> bool {
    let holds = known.get(origin).map(|since| since.elapsed() < memory);
    if holds == Some(false) {
        known.remove(origin);
    }
    holds == Some(true)
}

/// Forgets everything before it grows beyond its maximum: that costs some requests.
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
    fn a_head_that_does_not_end_is_spared_for_a_while_unless_a_get_fails_as_well() {
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
        support.left_open(&origin("a"), "latest");
        support.get_ended(&origin("a"), "other", true);
        assert!(likely(&support, "a"), "the other content may just have been there");
        support.get_ended(&origin("a"), "latest", false);
        support.get_ended(&origin("a"), "latest", true);
        assert!(likely(&support, "a"), "it was missing, and came later");
        support.left_open(&origin("a"), "latest");
        support.get_ended(&origin("a"), "latest", true);
        assert!(!likely(&support, "a") && likely(&support, "b"));
    }

    #[test]
    fn it_is_tried_again_after_a_while_and_the_memory_is_bounded() {
        let support = HeadSupport::default();
        let before = Instant::now().checked_sub(UNSUPPORTED_MEMORY).unwrap();
        support.state().unsupported.insert(origin("a"), before);
        assert!(likely(&support, "a") && support.state().unsupported.is_empty());
        for number in 0..=MAX_REPOSITORIES {
            support.left_open(&origin(&format!("r{number}")), "latest");
        }
        assert_eq!(support.state().open.len(), 1);
    }
}
