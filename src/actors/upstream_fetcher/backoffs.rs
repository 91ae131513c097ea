//! Backoff from upstreams that have just failed. A failed connection counts against the whole upstream, a refused login
//! against the account, an invalid response against its repository. A server error counts against its repository, and
//! against the upstream once a second repository fails as well. Bookkeeping only: sends no requests.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Instant;

use super::request::{Urgency, Verdict};
use crate::actors::pull_failure::{Cause, CountsAgainst};
use crate::domain::backoff::{Backoff, Circuit};
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;
use crate::upstream::UpstreamError;

/// Recent failures, by upstream, account and repository.
#[derive(Default)]
pub(super) struct Backoffs {
    upstreams: HashMap<UpstreamName, Failing>,
    accounts: HashMap<(UpstreamName, Account), Failing>,
    repositories: HashMap<Origin, Failing>,
    /// The repository with the last server error of each upstream, until something of that upstream succeeds.
    suspects: HashMap<UpstreamName, Origin>,
    /// The accounts with which a request has succeeded.
    proven: HashSet<(UpstreamName, Account)>,
}

/// The last failure of an account, or of its upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastFailure<'a> {
    /// The state of the circuit.
    pub(super) circuit: Circuit,
    /// The end of the pause.
    pub(super) end: Instant,
    /// The time of the failure.
    pub(super) at: Instant,
    /// The failure.
    pub(super) error: &'a UpstreamError,
}

/// The backoff of one upstream, account or repository, and its last failure.
struct Failing {
    backoff: Backoff,
    error: UpstreamError,
}

/// Maximum number of entries of each kind. At the limit all entries of that kind are dropped.
const MAX_ENTRIES: usize = 10_000;

impl Backoffs {
    /// Returns the last failure if no such request for this origin may be sent now. `None` admits the request, whose
    /// outcome has to be reported with [`Self::learn`].
    pub(super) fn refuses(&mut self, origin: &Origin, urgency: Urgency, now: Instant) -> Option<UpstreamError> {
        match urgency {
            Urgency::Optional => self.refuses_optional(origin, now),
            // Backoffs of repositories are not used here: a person who repeats a pull must see what upstream responds.
            Urgency::Awaited => [self.accounts.get(&account_of(origin)), self.upstreams.get(&origin.upstream)]
                .into_iter()
                .flatten()
                .find(|failing| !failing.backoff.admits(now))
                .map(|failing| failing.error.clone()),
            Urgency::Continuing => None,
        }
    }

    /// As [`Self::refuses`], for one probe at a time.
    fn refuses_optional(&mut self, origin: &Origin, now: Instant) -> Option<UpstreamError> {
        // A level that has admitted the request is released if the next level refuses it. The refusing level itself
        // is not released, because another request may be under way there.
        if let Some(error) = refuses(self.repositories.get_mut(origin), now) {
            return Some(error);
        }
        if let Some(error) = refuses(self.accounts.get_mut(&account_of(origin)), now) {
            release(self.repositories.get_mut(origin));
            return Some(error);
        }
        let error = refuses(self.upstreams.get_mut(&origin.upstream), now)?;
        release(self.repositories.get_mut(origin));
        release(self.accounts.get_mut(&account_of(origin)));
        Some(error)
    }

    /// Records the outcome of a request for this origin.
    pub(super) fn learn(&mut self, origin: &Origin, verdict: &Verdict, now: Instant) {
        match verdict {
            Verdict::Works => self.succeeded(origin),
            Verdict::Failed(error) => self.count(origin, error, Cause::from(error).counts_against(), now),
            // As with a server error, it counts against the upstream once a second repository fails.
            Verdict::SlowHead => {
                self.count(origin, &UpstreamError::TimedOut, CountsAgainst::RepositoryThenUpstream, now);
            }
            Verdict::Open => self.release(origin),
            Verdict::Reported => {}
        }
    }

    fn count(&mut self, origin: &Origin, error: &UpstreamError, against: CountsAgainst, now: Instant) {
        self.release(origin);
        match against {
            CountsAgainst::Nothing => self.succeeded(origin),
            CountsAgainst::NotUpstream => {}
            CountsAgainst::Upstream => failed(&mut self.upstreams, origin.upstream.clone(), error, now),
            CountsAgainst::Account => failed(&mut self.accounts, account_of(origin), error, now),
            CountsAgainst::Repository => failed(&mut self.repositories, origin.clone(), error, now),
            CountsAgainst::RepositoryThenUpstream => {
                failed(&mut self.repositories, origin.clone(), error, now);
                let suspect = self.suspects.insert(origin.upstream.clone(), origin.clone());
                if suspect.is_some_and(|suspect| suspect.repository != origin.repository) {
                    failed(&mut self.upstreams, origin.upstream.clone(), error, now);
                }
            }
        }
    }

    /// Returns true if a request with this account has succeeded since the start, or since the account changed.
    pub(super) fn has_worked(&self, account: &(UpstreamName, Account)) -> bool {
        self.proven.contains(account)
    }

    /// Returns the last failure of this account; `None` after a success. Failures that count against a repository alone
    /// are left out.
    pub(super) fn failing(&self, upstream: &UpstreamName, account: &Account, now: Instant) -> Option<LastFailure<'_>> {
        let of_account = self.accounts.get(&(upstream.clone(), account.clone()));
        let failing = [of_account, self.upstreams.get(upstream)].into_iter().flatten();
        let states = failing.filter_map(|failing| {
            let (circuit, end) = failing.backoff.circuit(now)?;
            Some(LastFailure { circuit, end, at: failing.backoff.last_failure()?, error: &failing.error })
        });
        states.max_by_key(|failure| (failure.circuit, failure.end))
    }

    /// Admits the next request, because the last one had no conclusive outcome.
    fn release(&mut self, origin: &Origin) {
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
        self.proven.retain(|(name, _)| !names.contains(name));
    }

    /// Forgets all failures of this account.
    pub(super) fn forget_account(&mut self, account: &(UpstreamName, Account)) {
        self.accounts.remove(account);
        self.proven.remove(account);
        self.repositories.retain(|origin, _| account_of(origin) != *account);
    }

    fn succeeded(&mut self, origin: &Origin) {
        self.upstreams.remove(&origin.upstream);
        self.accounts.remove(&account_of(origin));
        self.repositories.remove(origin);
        self.suspects.remove(&origin.upstream);
        if self.proven.len() >= MAX_ENTRIES {
            self.proven.clear();
        }
        self.proven.insert(account_of(origin));
    }
}

fn refuses(failing: Option<&mut Failing>, now: Instant) -> Option<UpstreamError> {
    let failing = failing?;
    (!failing.backoff.try_request(now)).then(|| failing.error.clone())
}

fn release(failing: Option<&mut Failing>) {
    failing.into_iter().for_each(|failing| failing.backoff.release());
}

fn failed<K: Eq + Hash>(known: &mut HashMap<K, Failing>, key: K, error: &UpstreamError, now: Instant) {
    if known.len() >= MAX_ENTRIES && !known.contains_key(&key) {
        known.clear();
    }
    let failing = known.entry(key).or_insert_with(|| Failing { backoff: Backoff::default(), error: error.clone() });
    failing.error.clone_from(error);
    failing.backoff.failed(now, error.retry_after());
}

fn account_of(origin: &Origin) -> (UpstreamName, Account) {
    (origin.upstream.clone(), origin.account.clone())
}

#[cfg(test)]
mod tests;
