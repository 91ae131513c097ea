//! Pull budgets of the accounts of one upstream: what the headers of its responses report.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reqwest::header::HeaderMap;

use super::rate_limit;
use crate::domain::origin::Account;
use crate::domain::pull_budget::PullBudget;

/// The budgets of one upstream, by account. The default: without any report.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<Account, PullBudget>>);

impl Budgets {
    /// Records what the headers of a response report, if they report a limit.
    pub(super) fn learn(&self, account: &Account, headers: &HeaderMap) {
        let Some(report) = rate_limit::report(headers) else { return };
        let now = Instant::now();
        match self.known().entry(account.clone()) {
            Entry::Occupied(mut budget) => budget.get_mut().learn(report, now),
            Entry::Vacant(entry) => {
                entry.insert(PullBudget::new(report, now));
            }
        }
    }

    /// Returns what `read` returns of the budget of an account; `None` if upstream reports none.
    pub(super) fn of_account<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.known().get(account).map(read)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Account, PullBudget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
