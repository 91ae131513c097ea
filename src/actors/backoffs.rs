//! Which upstreams are spared revalidations because they have just failed. A connection that fails counts against the whole
//! upstream, a refused login against the account, a wrong response against its repository; a server error against its repository
//! until a second one fails as well. Sends nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::failure::{Cause, CountsAgainst};
use crate::domain::backoff::Backoff;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;

/// What is known of upstreams that fail.
#[derive(Default)]
pub(super) struct Backoffs {
    upstreams: HashMap<UpstreamName, Backoff>,
    accounts: HashMap<(UpstreamName, Account), Backoff>,
    repositories: HashMap<Origin, Backoff>,
    /// The repository with the last server error of each upstream, until something of that upstream succeeds.
    suspects: HashMap<UpstreamName, Origin>,
}

/// Maximum number of repositories that are remembered.
const MAX_REPOSITORIES: usize = 10_000;

impl Backoffs {
    /// Whether to send a request for this origin now. A yes has to be reported with [`Self::learn`] or [`Self::release`].
    pub(super) fn try_request(&mut self, origin: &Origin, now: Instant) -> bool {
        let allows = |backoff: Option<&mut Backoff>| backoff.is_none_or(|backoff| backoff.try_request(now));
        // What one level has allowed is given back where the next one does not: others may be under way there.
        if !allows(self.repositories.get_mut(origin)) {
            return false;
        }
        if !allows(self.accounts.get_mut(&account_of(origin))) {
            self.repositories.get_mut(origin).into_iter().for_each(Backoff::release);
            return false;
        }
        if !allows(self.upstreams.get_mut(&origin.upstream)) {
            let account = self.accounts.get_mut(&account_of(origin));
            self.repositories.get_mut(origin).into_iter().chain(account).for_each(Backoff::release);
            return false;
        }
        true
    }

    /// Learns from the outcome of a request for this origin.
    pub(super) fn learn(&mut self, origin: &Origin, failure: Option<&Cause>, now: Instant) {
        let against = failure.map_or(CountsAgainst::Nothing, Cause::counts_against);
        if against == CountsAgainst::Nothing {
            return self.succeeded(origin);
        }
        self.release(origin);
        match against {
            CountsAgainst::Nothing | CountsAgainst::NotUpstream => {}
            CountsAgainst::Upstream => failed(&mut self.upstreams, origin.upstream.clone(), now),
            CountsAgainst::Account => failed(&mut self.accounts, account_of(origin), now),
            CountsAgainst::Repository => failed(&mut self.repositories, origin.clone(), now),
            CountsAgainst::RepositoryThenUpstream => {
                failed(&mut self.repositories, origin.clone(), now);
                let suspect = self.suspects.insert(origin.upstream.clone(), origin.clone());
                if suspect.is_some_and(|suspect| suspect.repository != origin.repository) {
                    failed(&mut self.upstreams, origin.upstream.clone(), now);
                }
            }
        }
    }

    /// The request was not sent after all, or said nothing: the next one may be.
    pub(super) fn release(&mut self, origin: &Origin) {
        let upstream = self.upstreams.get_mut(&origin.upstream);
        let account = self.accounts.get_mut(&account_of(origin));
        let repository = self.repositories.get_mut(origin);
        upstream.into_iter().chain(account).chain(repository).for_each(Backoff::release);
    }

    fn succeeded(&mut self, origin: &Origin) {
        self.upstreams.remove(&origin.upstream);
        self.accounts.remove(&account_of(origin));
        self.repositories.remove(origin);
        self.suspects.remove(&origin.upstream);
    }
}

fn failed<K: Eq + Hash>(known: &mut HashMap<K, Backoff>, key: K, now: Instant) {
    if known.len() >= MAX_REPOSITORIES && !known.contains_key(&key) {
        known.clear();
    }
    known.entry(key).or_default().failed(now);
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

    fn server_error() -> Cause {
        Cause::ServerError { status: 500, message: None }
    }

    #[test]
    fn what_cannot_be_reached_is_spared_as_a_whole() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&origin("a"), Some(&Cause::TimedOut), now);
        assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| !backoffs.try_request(origin, now)));
        backoffs.learn(&origin("b"), None, now);
        assert!([origin("a"), origin("b"), robot("a")].iter().all(|origin| backoffs.try_request(origin, now)));
    }

    #[test]
    fn a_refused_login_is_held_against_its_account_alone() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&robot("a"), Some(&Cause::AccountRefused), now);
        assert!(!backoffs.try_request(&robot("b"), now) && backoffs.try_request(&origin("b"), now));
    }

    #[test]
    fn a_wrong_response_is_held_against_its_repository_alone() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        let wrong = Cause::InvalidResponse { what: "a page".to_owned() };
        for repository in ["a", "b"] {
            backoffs.learn(&origin(repository), Some(&wrong), now);
        }
        assert!(!backoffs.try_request(&origin("a"), now) && backoffs.try_request(&origin("c"), now));
    }

    #[test]
    fn a_server_error_is_held_against_its_repository_until_a_second_one_fails() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        for _ in 0..3 {
            backoffs.learn(&origin("a"), Some(&server_error()), now);
        }
        assert!(!backoffs.try_request(&origin("a"), now) && backoffs.try_request(&origin("c"), now));
        backoffs.learn(&origin("b"), Some(&server_error()), now);
        assert!(!backoffs.try_request(&origin("c"), now));
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
        assert!(!backoffs.try_request(&origin("a"), now) && backoffs.try_request(&origin("c"), now));
    }

    #[test]
    fn a_final_refusal_shows_that_upstream_works() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        backoffs.learn(&origin("a"), Some(&Cause::TimedOut), now);
        backoffs.learn(&origin("b"), Some(&Cause::Refused { status: 405, code: None, message: None }), now);
        assert!(backoffs.try_request(&origin("a"), now));
    }
}
