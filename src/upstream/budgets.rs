//! Pull budgets of the accounts of one upstream: what the headers of its responses report, for decisions and as
//! metrics.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::rate_limit;
use crate::domain::origin::Account;
use crate::domain::pull_budget::PullBudget;
use crate::domain::repository::UpstreamName;

/// The budgets of one upstream, by account.
pub(super) struct Budgets {
    upstream: UpstreamName,
    known: Mutex<HashMap<Account, PullBudget>>,
}

impl Budgets {
    /// Creates the record of this upstream, without any report.
    pub(super) fn of(upstream: UpstreamName) -> Self {
        Self { upstream, known: Mutex::default() }
    }

    /// Records what the headers of a response report, if they report a limit.
    pub(super) fn learn(&self, account: &Account, headers: &HeaderMap) {
        let Some(report) = rate_limit::report(headers) else { return };
        let (now, limit, left) = (Instant::now(), report.limit, report.remaining);
        let mut known = self.known();
        let runs_out_in = match known.get_mut(account) {
            Some(budget) => {
                budget.learn(report, now);
                budget.runs_out_in(now)
            }
            None => {
                known.insert(account.clone(), PullBudget::new(report, now));
                None
            }
        };
        drop(known);
        gauge_pulls(&self.upstream, account, (limit, left), runs_out_in);
    }

    /// Returns what `read` returns of the budget of an account; `None` if upstream reports none.
    pub(super) fn of_account<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.known().get(account).map(read)
    }

    /// Forgets an account that does not exist any more.
    pub(super) fn forget(&self, account: &Account) {
        self.known().remove(account);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Account, PullBudget>> {
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
