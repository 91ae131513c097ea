//! Which upstreams are left alone because they have just failed: as a whole for an account where they cannot be reached or
//! refuse it, for one repository where only its answers are wrong. Asks nobody.

use std::collections::HashMap;
use std::time::Instant;

use super::failure::Cause;
use crate::domain::backoff::Backoff;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;

/// What is known of upstreams that fail.
#[derive(Default)]
pub(super) struct Backoffs {
    accounts: HashMap<(UpstreamName, Account), Backoff>,
    repositories: HashMap<Origin, Backoff>,
}

/// More repositories than this are not remembered.
const REPOSITORIES: usize = 10_000;

impl Backoffs {
    /// Whether to ask about this origin now. A yes has to be reported with [`Self::learn`].
    pub(super) fn try_ask(&mut self, origin: &Origin, now: Instant) -> bool {
        if !self.repositories.get_mut(origin).is_none_or(|backoff| backoff.try_ask(now)) {
            return false;
        }
        let account = self.accounts.get_mut(&account_of(origin));
        let may_ask = account.is_none_or(|backoff| backoff.try_ask(now));
        if !may_ask && let Some(repository) = self.repositories.get_mut(origin) {
            repository.not_asked();
        }
        may_ask
    }

    /// Learns from what asking about this origin led to.
    pub(super) fn learn(&mut self, origin: &Origin, failure: Option<&Cause>, now: Instant) {
        match failure {
            None | Some(Cause::Denied | Cause::NotFound | Cause::NoRepository) => {
                self.accounts.remove(&account_of(origin));
                self.repositories.remove(origin);
            }
            Some(Cause::Busy | Cause::Store) => self.not_asked(origin),
            Some(Cause::Nonsense) => {
                self.not_asked(origin);
                if self.repositories.len() >= REPOSITORIES {
                    self.repositories.clear();
                }
                self.repositories.entry(origin.clone()).or_default().failed(now);
            }
            Some(Cause::RateLimited { .. } | Cause::Unreachable | Cause::Credentials) => {
                self.not_asked(origin);
                self.accounts.entry(account_of(origin)).or_default().failed(now);
            }
        }
    }

    fn not_asked(&mut self, origin: &Origin) {
        let account = self.accounts.get_mut(&account_of(origin));
        account.into_iter().chain(self.repositories.get_mut(origin)).for_each(Backoff::not_asked);
    }
}

fn account_of(origin: &Origin) -> (UpstreamName, Account) {
    (origin.upstream.clone(), origin.account.clone())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn origin(repository: &str, account: Account) -> Origin {
        Origin { upstream: "docker.io".parse().unwrap(), account, repository: repository.parse().unwrap() }
    }

    #[test]
    fn what_cannot_be_reached_is_left_alone_for_that_account() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        let (one, other) = (origin("a", Account::Anonymous), origin("b", Account::Anonymous));
        backoffs.learn(&one, Some(&Cause::Unreachable), now);
        assert!(!backoffs.try_ask(&one, now) && !backoffs.try_ask(&other, now));
        assert!(backoffs.try_ask(&origin("a", Account::Username("robot".into())), now));
        backoffs.learn(&other, None, now);
        assert!(backoffs.try_ask(&one, now));
    }

    #[test]
    fn a_wrong_answer_is_held_against_its_repository_alone() {
        let (mut backoffs, now) = (Backoffs::default(), Instant::now());
        let (one, other) = (origin("a", Account::Anonymous), origin("b", Account::Anonymous));
        backoffs.learn(&one, Some(&Cause::Nonsense), now);
        assert!(!backoffs.try_ask(&one, now) && backoffs.try_ask(&other, now));
    }
}
