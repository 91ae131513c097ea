//! Pull budgets of the accounts of one upstream: what the headers of its responses report, here and to other replicas,
//! for decisions and as metrics.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::rate_limit;
use crate::domain::origin::Account;
use crate::domain::pull_budget::{LimitReport, PullBudget};
use crate::domain::repository::UpstreamName;

/// The budgets of one upstream, by account.
pub(super) struct Budgets {
    upstream: UpstreamName,
    known: Mutex<HashMap<Account, Known>>,
}

struct Known {
    budget: PullBudget,
    /// The last report to this process, with its time, until it was taken for other replicas.
    reported: Option<(LimitReport, Instant)>,
}

impl Budgets {
    /// Creates the record of this upstream, without any report.
    pub(super) fn of(upstream: UpstreamName) -> Self {
        Self { upstream, known: Mutex::default() }
    }

    /// Records what the headers of a response report, if they report a limit.
    pub(super) fn learn(&self, account: &Account, headers: &HeaderMap) {
        let Some(report) = rate_limit::report(headers) else { return };
        let now = Instant::now();
        let mut all = self.known();
        let reported = Some((report.clone(), now));
        match all.get_mut(account) {
            Some(known) => {
                known.budget.learn(report, now);
                known.reported = reported;
            }
            None => drop(all.insert(account.clone(), Known { budget: PullBudget::new(report, now), reported })),
        }
        self.gauge(account, all.get(account), now);
    }

    /// Records what a response has reported to another replica at this time.
    pub(super) fn learn_elsewhere(&self, account: &Account, report: LimitReport, at: Instant) {
        let mut all = self.known();
        match all.get_mut(account) {
            Some(known) => known.budget.learn_elsewhere(report, at),
            None => {
                let budget = PullBudget::new(report, at);
                all.insert(account.clone(), Known { budget, reported: None });
            }
        }
        self.gauge(account, all.get(account), Instant::now());
    }

    /// Returns the last reports to this process, as far as they came since the last call.
    pub(super) fn take_reported(&self) -> Vec<(Account, LimitReport, Instant)> {
        let mut all = self.known();
        let taken = |(account, known): (&Account, &mut Known)| {
            let (report, at) = known.reported.take()?;
            Some((account.clone(), report, at))
        };
        all.iter_mut().filter_map(taken).collect()
    }

    /// Returns what `read` returns of the budget of an account; `None` if upstream reports none.
    pub(super) fn of_account<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.known().get(account).map(|known| read(&known.budget))
    }

    /// Forgets an account that does not exist any more.
    pub(super) fn forget(&self, account: &Account) {
        self.known().remove(account);
    }

    fn gauge(&self, account: &Account, known: Option<&Known>, now: Instant) {
        if let Some((report, known)) = known.and_then(|known| Some((known.budget.report(now)?, known))) {
            let runs_out_in = known.budget.runs_out_in(now);
            gauge_pulls(&self.upstream, account, (report.limit, report.remaining), runs_out_in);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Account, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the gauges of an account's pull limit: its size, the number of pulls that are left, and the time until they run
/// out; `None`: they do not.
pub fn gauge_pulls(
    upstream: &UpstreamName,
    account: &Account,
    (limit, left): (u64, u64),
    runs_out_in: Option<Duration>,
) {
    let labels = [("upstream", upstream.to_string()), ("account", account.label())];
    let seconds = runs_out_in.map_or(f64::INFINITY, |time| time.as_secs_f64());
    metrics::gauge!("dependency_proxy_upstream_pull_limit", &labels).set(limit as f64);
    metrics::gauge!("dependency_proxy_upstream_pulls_left", &labels).set(left as f64);
    metrics::gauge!("dependency_proxy_upstream_pulls_run_out_seconds", &labels).set(seconds);
}
