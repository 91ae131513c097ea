//! Backoff of revalidations at upstreams that have just failed. A failed connection counts against the whole upstream,
//! a refused login against the account, an invalid response against its repository. A server error counts against its
//! repository, and against the upstream once a second repository fails as well. Bookkeeping only: sends no requests.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::pull_failure::{Cause, CountsAgainst};
use crate::domain::backoff::Backoff;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;

/// Recent failures, by upstream, account and repository.
#[derive(Default)]
pub(super) struct Backoffs {
    upstreams: HashMap<UpstreamName, Failing>,
    accounts: HashMap<(UpstreamName, Account), Failing>,
    repositories: HashMap<Origin, Failing>,
    /// The repository with the last server error of each upstream, until something of that upstream succeeds.
    suspects: HashMap<UpstreamName, Origin>,
}

/// The backoff of one upstream, account or repository, and the cause of its last failure.
struct Failing {
    backoff: Backoff,
    cause: Cause,
}

/// Maximum number of entries of each kind. At the limit all entries of that kind are dropped.
const MAX_REPOSITORIES: usize = 10_000;

impl Backoffs {
    /// Returns the cause of the last failure if no request for this origin may be sent now. `None` admits one
    /// request, whose outcome has to be reported with [`Self::learn`] or [`Self::release`].
    pub(super) fn spares(&mut self, origin: &Origin, now: Instant) -> Option<Cause> {
        // A level that has admitted the request is released if the next level refuses it. The refusing level itself
        // is not released, because another request may be under way there.
        if let Some(cause) = spares(self.repositories.get_mut(origin), now) {
            return Some(cause);
        }
        if let Some(cause) = spares(self.accounts.get_mut(&account_of(origin)), now) {
            release(self.repositories.get_mut(origin));
            return Some(cause);
        }
        let cause = spares(self.upstreams.get_mut(&origin.upstream), now)?;
        release(self.repositories.get_mut(origin));
        release(self.accounts.get_mut(&account_of(origin)));
        Some(cause)
    }

    /// Records the outcome of a request for this origin; `failure` is `None` after a success.
    pub(super) fn learn(&mut self, origin: &Origin, failure: Option<&Cause>, now: Instant) {
        let against = failure.map_or(CountsAgainst::Nothing, Cause::counts_against);
        let Some(cause) = failure.filter(|_| against != CountsAgainst::Nothing) else {
            return self.succeeded(origin);
        };
        self.count(origin, cause, against, now);
    }

    /// Records that a `HEAD` of this origin timed out. As with a server error, it counts against the upstream once
    /// a second repository fails.
    pub(super) fn head_timed_out(&mut self, origin: &Origin, now: Instant) {
        self.count(origin, &Cause::TimedOut, CountsAgainst::RepositoryThenUpstream, now);
    }

    fn count(&mut self, origin: &Origin, cause: &Cause, against: CountsAgainst, now: Instant) {
        self.release(origin);
        match against {
            CountsAgainst::Nothing | CountsAgainst::NotUpstream => {}
            CountsAgainst::Upstream => failed(&mut self.upstreams, origin.upstream.clone(), cause, now),
            CountsAgainst::Account => failed(&mut self.accounts, account_of(origin), cause, now),
            CountsAgainst::Repository => failed(&mut self.repositories, origin.clone(), cause, now),
            CountsAgainst::RepositoryThenUpstream => {
                failed(&mut self.repositories, origin.clone(), cause, now);
                let suspect = self.suspects.insert(origin.upstream.clone(), origin.clone());
                if suspect.is_some_and(|suspect| suspect.repository != origin.repository) {
                    failed(&mut self.upstreams, origin.upstream.clone(), cause, now);
                }
            }
        }
    }

    /// Records that the admitted request was not sent, or that its outcome is inconclusive: the next
    /// request is admitted.
    pub(super) fn release(&mut self, origin: &Origin) {
        release(self.upstreams.get_mut(&origin.upstream));
        release(self.accounts.get_mut(&account_of(origin)));
        release(self.repositories.get_mut(origin));
    }

    /// Forgets all failures of these upstreams.
    pub(super) fn forget(&mut self, names: &[UpstreamName]) {
        self.upstreams.retain(|name, _| !names.contains(name));
        self.accounts.retain(|(name, _), _| !names.contains(name));
        self.repositories.retain(|origin, _| !names.contains(&origin.upstream));
        self.suspects.retain(|name, _| !names.contains(name));
    }

    fn succeeded(&mut self, origin: &Origin) {
        self.upstreams.remove(&origin.upstream);
        self.accounts.remove(&account_of(origin));
        self.repositories.remove(origin);
        self.suspects.remove(&origin.upstream);
    }
}

fn spares(failing: Option<&mut Failing>, now: Instant) -> Option<Cause> {
    let failing = failing?;
    (!failing.backoff.try_request(now)).then(|| failing.cause.clone())
}

fn release(failing: Option<&mut Failing>) {
    failing.into_iter().for_each(|failing| failing.backoff.release());
}

fn failed<K: Eq + Hash>(known: &mut HashMap<K, Failing>, key: K, cause: &Cause, now: Instant) {
    if known.len() >= MAX_REPOSITORIES && !known.contains_key(&key) {
        known.clear();
    }
    let failing = known.entry(key).or_insert_with(|| Failing { backoff: Backoff::default(), cause: cause.clone() });
    failing.cause.clone_from(cause);
    failing.backoff.failed(now);
}

fn account_of(origin: &Origin) -> (UpstreamName, Account) {
    (origin.upstream.clone(), origin.account.clone())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn origin(repository: &str) -> Origin {
        let upstream = "docker.io".parse().unwrap();
        Origin { upstream, account: Account::Anonymous, repository: repository.parse().unwrap() }
    }

    fn robot(repository: &str) -> Origin {
        Origin { account: Account::Username("robot".into()), ..origin(repository) }
    }

    fn tries(backoffs: &mut Backoffs, origin: &Origin, now: Instant) -> bool {
        backoffs.spares(origin, now).is_none()
    }

    fn server_error() -> Cause {
        Cause::ServerError { status: 500, message: None }
    }

    #[test]
    fn what_cannot_be_reached_is_spared_as_a_whole() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&origin("a"), Some(&Cause::TimedOut), now);
        assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| !tries(&mut backoffs, origin, now)));
        backoffs.learn(&origin("b"), None, now);
        assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| tries(&mut backoffs, origin, now)));
    }

    #[test]
    fn a_refused_login_is_held_against_its_account_alone() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&robot("a"), Some(&Cause::AccountRefused), now);
        assert_eq!(backoffs.spares(&robot("b"), now), Some(Cause::AccountRefused), "with the cause");
        assert!(!tries(&mut backoffs, &robot("b"), now) && tries(&mut backoffs, &origin("b"), now));
    }

    #[test]
    fn a_wrong_response_is_held_against_its_repository_alone() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        let wrong = Cause::InvalidResponse { what: "a page".to_owned() };
        for repository in ["a", "b"] {
            backoffs.learn(&origin(repository), Some(&wrong), now);
        }
        assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
    }

    #[test]
    fn a_server_error_is_held_against_its_repository_until_a_second_one_fails() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        for _ in 0..3 {
            backoffs.learn(&origin("a"), Some(&server_error()), now);
        }
        assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
        backoffs.learn(&origin("b"), Some(&server_error()), now);
        assert!(!tries(&mut backoffs, &origin("c"), now));
    }

    #[test]
    fn two_bad_repositories_do_not_stop_an_upstream_that_works() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        for _ in 0..3 {
            backoffs.learn(&origin("a"), Some(&server_error()), now);
            backoffs.learn(&origin("c"), None, now);
            backoffs.learn(&origin("b"), Some(&server_error()), now);
            backoffs.learn(&origin("c"), None, now);
        }
        assert!(!tries(&mut backoffs, &origin("a"), now) && tries(&mut backoffs, &origin("c"), now));
    }

    #[test]
    fn a_final_refusal_shows_that_upstream_works() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&origin("a"), Some(&Cause::TimedOut), now);
        backoffs.learn(&origin("b"), Some(&Cause::Refused { status: 405, code: None, message: None }), now);
        assert!(tries(&mut backoffs, &origin("a"), now));
    }
}
