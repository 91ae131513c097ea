//! Which repositories do not support `HEAD` although the specification demands it (OCI distribution specification, "Checking if
//! content exists in the registry"): what a `HEAD` leaves open there is decided by a `GET` at once, which saves a request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::origin::Origin;

/// How long a repository is spared `HEAD`; then it is tried again.
const MEMORY: Duration = Duration::from_secs(15 * 60);
const MAX_REPOSITORIES: usize = 10_000;

/// What is known of the repositories of one upstream, for one kind of content.
#[derive(Default)]
pub(super) struct HeadSupport(Mutex<State>);

#[derive(Default)]
struct State {
    /// What a `HEAD` left open: the same content by `GET` tells whether it was the method.
    open: HashMap<Origin, String>,
    unsupported: HashMap<Origin, Instant>,
}

impl HeadSupport {
    /// Whether a `HEAD` may say something.
    pub(super) fn is_likely(&self, origin: &Origin) -> bool {
        let mut state = self.state();
        let since = state.unsupported.get(origin).copied();
        if since.is_some_and(|since| since.elapsed() >= MEMORY) {
            state.unsupported.remove(origin);
        }
        since.is_none_or(|since| since.elapsed() >= MEMORY)
    }

    /// Notes that a `HEAD` of this content affirmed nothing.
    pub(super) fn left_open(&self, origin: &Origin, content: &str) {
        insert(&mut self.state().open, origin, content.to_owned());
    }

    /// Notes how a `GET` of this content ended: where it succeeded, a `HEAD` of it that did not was refused for its method.
    pub(super) fn get_ended(&self, origin: &Origin, content: &str, succeeded: bool) {
        let mut state = self.state();
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

    #[test]
    fn a_get_that_succeeds_where_a_head_did_not_is_remembered() {
        let support = HeadSupport::default();
        support.left_open(&origin("a"), "latest");
        support.get_ended(&origin("a"), "other", true);
        assert!(support.is_likely(&origin("a")), "the other content may just have been there");
        support.get_ended(&origin("a"), "latest", false);
        support.get_ended(&origin("a"), "latest", true);
        assert!(support.is_likely(&origin("a")), "it was missing, and came later");
        support.left_open(&origin("a"), "latest");
        support.get_ended(&origin("a"), "latest", true);
        assert!(!support.is_likely(&origin("a")) && support.is_likely(&origin("b")));
    }

    #[test]
    fn it_is_tried_again_after_a_while_and_the_memory_is_bounded() {
        let support = HeadSupport::default();
        let before = Instant::now().checked_sub(MEMORY).unwrap();
        support.state().unsupported.insert(origin("a"), before);
        assert!(support.is_likely(&origin("a")) && support.state().unsupported.is_empty());
        for number in 0..=MAX_REPOSITORIES {
            support.left_open(&origin(&format!("r{number}")), "latest");
        }
        assert_eq!(support.state().open.len(), 1);
    }
}
