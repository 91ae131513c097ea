//! State of the exchange of reports about limits with other replicas: what this replica has not written yet.

use std::collections::HashMap;
use std::time::Instant;

use super::gates::GateKey;
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;
use crate::store::fleet::{BudgetReport, PauseReport, Reports, UpstreamReports};

/// The exchange with other replicas.
pub(super) struct Exchange {
    pub(super) reports: UpstreamReports,
    pub(super) unwritten: Unwritten,
    pub(super) is_running: bool,
}

/// Reports to this replica that it has not written yet.
#[derive(Default)]
pub(super) struct Unwritten {
    /// Reports about pull limits, with their times.
    pub(super) budgets: HashMap<(UpstreamName, Account), (BudgetReport, Instant)>,
    /// Pauses, with the times at which they end.
    pub(super) pauses: HashMap<GateKey, (PauseReport, Instant)>,
}

impl Unwritten {
    /// Returns the reports as they are written at this time.
    pub(super) fn at(&self, now: Instant) -> Reports {
        let age = |at: Instant| now.saturating_duration_since(at);
        let budget = |(budget, at): &(BudgetReport, Instant)| BudgetReport { age: age(*at), ..budget.clone() };
        let pause = |(pause, until): &(PauseReport, Instant)| {
            let rest = until.saturating_duration_since(now);
            PauseReport { rest, ..pause.clone() }
        };
        Reports {
            budgets: self.budgets.values().map(budget).collect(),
            pauses: self.pauses.values().map(pause).collect(),
        }
    }

    /// Takes back what could not be written, unless something newer has come meanwhile.
    pub(super) fn take_back(&mut self, earlier: Self, now: Instant) {
        for (key, budget) in earlier.budgets {
            self.budgets.entry(key).or_insert(budget);
        }
        for (key, pause) in earlier.pauses.into_iter().filter(|(_, (_, until))| now < *until) {
            self.pauses.entry(key).or_insert(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::pull_budget::LimitReport;

    #[test]
    fn what_could_not_be_written_is_written_later_unless_it_is_replaced() {
        let now = Instant::now();
        let of = |upstream: &str, remaining, at| {
            let upstream: UpstreamName = upstream.parse().unwrap_or_else(|_| unreachable!("a name"));
            let report = LimitReport { limit: 100, remaining, window: None, source: None };
            let budget =
                BudgetReport { upstream: upstream.clone(), account: Account::Anonymous, report, age: Duration::ZERO };
            ((upstream, Account::Anonymous), (budget, at))
        };
        let mut unwritten = Unwritten::default();
        unwritten.budgets.extend([of("docker.io", 10, now)]);
        let earlier = [of("docker.io", 20, now), of("quay.io", 30, now)].into_iter().collect();
        unwritten.take_back(Unwritten { budgets: earlier, pauses: HashMap::new() }, now);
        let later = now + Duration::from_secs(3);
        let mut written = unwritten.at(later).budgets;
        written.sort_by_key(|budget| budget.report.remaining);
        assert_eq!(written.iter().map(|budget| budget.report.remaining).collect::<Vec<_>>(), [10, 30]);
        assert!(written.iter().all(|budget| budget.age == Duration::from_secs(3)));
    }
}
