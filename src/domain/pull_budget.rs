//! The pull limit of an account at an upstream, as its responses report it: how much of it is left, how soon it runs
//! out, and what gives way as it does. Reads no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::freshness::Freshness;

/// Report of one response about the pull limit (Docker Hub's `ratelimit-limit` and `ratelimit-remaining`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReport {
    /// Number of pulls in a window; more than zero.
    pub limit: u64,
    /// Number of pulls that are left.
    pub remaining: u64,
    /// Length of the window, where upstream reports it.
    pub window: Option<Duration>,
    /// The client that upstream counts: an address, or the id of an account.
    pub source: Option<String>,
}

/// The reports of the last minutes.
#[derive(Clone, Debug)]
pub struct PullBudget {
    last: LimitReport,
    at: Instant,
    /// Earlier reports, oldest first: their times, and what was left.
    earlier: VecDeque<(Instant, u64)>,
}

/// Scarcity of the pulls that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scarcity {
    /// There are enough, as far as it is known.
    Plenty,
    /// Nothing is fetched in advance, tags are served for longer without revalidation, and groups share what is left.
    Low,
    /// In addition nothing is revalidated: what is left is for what is not cached.
    VeryLow,
}

/// Share of the limit below which what is left is low.
const LOW: f64 = 0.25;

/// Share of the limit below which what is left is very low.
const VERY_LOW: f64 = 0.1;

/// Maximum factor by which tags are served for longer.
const MAX_STRETCH: f64 = 100.0;

/// Age of a report after which revalidations are sent again: one of them reports what is left by then.
const MAX_REPORT_AGE: Duration = Duration::from_secs(5 * 60);

/// Age of a report without a window after which it is ignored.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60 * 60);

/// Time between two reports of different replicas within which their order is not known.
const UNORDERED_TIME: Duration = Duration::from_secs(5);

/// Time over which the number of pulls is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Maximum number of reports that are kept, and minimum time between two of them.
const MAX_REPORTS: usize = 64;
const REPORT_INTERVAL: Duration = Duration::from_secs(RATE_WINDOW.as_secs() / MAX_REPORTS as u64);

impl PullBudget {
    /// Returns the budget after a first report.
    pub fn new(report: LimitReport, now: Instant) -> Self {
        Self { last: report, at: now, earlier: VecDeque::new() }
    }

    /// Records another report.
    pub fn learn(&mut self, report: LimitReport, now: Instant) {
        if self.earlier.back().is_none_or(|(at, _)| *at + REPORT_INTERVAL <= self.at) {
            self.earlier.push_back((self.at, self.last.remaining));
        }
        while self.earlier.front().is_some_and(|(at, _)| *at + RATE_WINDOW < now) || self.earlier.len() > MAX_REPORTS {
            self.earlier.pop_front();
        }
        (self.last, self.at) = (report, now);
    }

    /// Records a report that another replica got at this time. Of two that may have come in either order the one with
    /// less left counts, and else the later one: more is left after a window has ended. One about another client of
    /// upstream says nothing.
    pub fn learn_elsewhere(&mut self, report: LimitReport, at: Instant) {
        if report.source.is_some() && self.last.source.is_some() && report.source != self.last.source {
            return;
        }
        let is_close = at < self.at + UNORDERED_TIME && self.at < at + UNORDERED_TIME;
        let is_of_same = (report.limit, report.window) == (self.last.limit, self.last.window);
        let counts = if is_close && is_of_same { report.remaining < self.last.remaining } else { self.at < at };
        if counts {
            let at = at.max(self.at);
            self.learn(report, at);
        }
    }

    /// Returns the last report, if the window for which it holds has not ended.
    pub fn report(&self, now: Instant) -> Option<&LimitReport> {
        let window = self.last.window.unwrap_or(DEFAULT_WINDOW);
        (now < self.at + window).then_some(&self.last)
    }

    /// Returns the time after which the limit is reached if pulls go on as in the last minutes; `None` if less is left
    /// than before only because nothing was reported, or if nothing is used.
    pub fn runs_out_in(&self, now: Instant) -> Option<Duration> {
        let left = self.report(now)?.remaining;
        if left == 0 {
            return Some(Duration::ZERO);
        }
        let (since, before) = self.earlier.iter().find(|(at, _)| *at + RATE_WINDOW >= now)?;
        let used = before.checked_sub(left).filter(|used| *used > 0)?;
        let time = self.at.duration_since(*since).as_secs_f64() * left as f64 / used as f64;
        Duration::try_from_secs_f64(time).ok()
    }

    /// Returns how scarce the pulls are that are left.
    pub fn scarcity(&self, now: Instant) -> Scarcity {
        match self.left(now) {
            Some(left) if left < VERY_LOW && now < self.at + MAX_REPORT_AGE => Scarcity::VeryLow,
            Some(left) if left < LOW => Scarcity::Low,
            _ => Scarcity::Plenty,
        }
    }

    /// Returns the number of pulls that are shared among the groups once what is left is low.
    pub fn shared(&self) -> u64 {
        (self.last.limit as f64 * LOW) as u64
    }

    /// Returns the times for which tags are served, which are longer as less is left.
    pub fn stretched(&self, freshness: Freshness, now: Instant) -> Freshness {
        let Some(left) = self.left(now).filter(|left| *left < LOW) else { return freshness };
        let factor = (LOW / left.max(LOW / MAX_STRETCH)).min(MAX_STRETCH);
        let longer = Duration::try_from_secs_f64(freshness.time_to_live.as_secs_f64() * factor);
        Freshness { time_to_live: longer.unwrap_or(Duration::MAX), ..freshness }
    }

    /// Returns the share of the limit that is left.
    fn left(&self, now: Instant) -> Option<f64> {
        self.report(now).map(|report| report.remaining as f64 / report.limit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(remaining: u64) -> LimitReport {
        LimitReport { limit: 100, remaining, window: Some(Duration::from_secs(6 * 3600)), source: None }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_left_becomes_scarce_and_an_old_report_says_nothing() {
        let now = Instant::now();
        let of = |remaining, age| PullBudget::new(report(remaining), now).scarcity(now + seconds(age));
        assert_eq!(
            [100, 25, 24, 10, 9, 0].map(|left| of(left, 0)),
            [Scarcity::Plenty, Scarcity::Plenty, Scarcity::Low, Scarcity::Low, Scarcity::VeryLow, Scarcity::VeryLow]
        );
        assert_eq!([of(0, 299), of(0, 300), of(0, 6 * 3600)], [Scarcity::VeryLow, Scarcity::Low, Scarcity::Plenty]);
    }

    #[test]
    fn tags_are_served_for_longer_as_less_is_left() {
        let now = Instant::now();
        let minute = Freshness { time_to_live: seconds(60), stale_while_revalidate: Duration::ZERO };
        let of = |left| PullBudget::new(report(left), now).stretched(minute, now).time_to_live.as_secs();
        assert_eq!([100, 25, 10, 5, 1, 0].map(of), [60, 60, 150, 300, 1500, 6000]);
        let always = Freshness::default();
        assert_eq!(PullBudget::new(report(0), now).stretched(always, now), always, "every pull is confirmed");
    }

    #[test]
    fn a_report_to_another_replica_counts_where_less_is_left_or_it_is_later() {
        let now = Instant::now() + seconds(100);
        let left = |elsewhere: LimitReport, at| {
            let mut budget = PullBudget::new(report(50), now);
            budget.learn_elsewhere(elsewhere, at);
            budget.report(now).map(|report| report.remaining)
        };
        for (elsewhere, at, expected) in [
            (40, now, 40),
            (40, now - seconds(4), 40),
            (60, now + seconds(4), 50),
            (40, now - seconds(60), 50),
            (40, now + seconds(60), 40),
            (100, now + seconds(60), 100),
        ] {
            assert_eq!(left(report(elsewhere), at), Some(expected), "{elsewhere} at {at:?}");
        }
        let other_limit = LimitReport { limit: 200, ..report(60) };
        assert_eq!(left(other_limit, now + seconds(1)), Some(60), "the account has another limit now");
        let of = |address: &str| LimitReport { source: Some(address.to_owned()), ..report(10) };
        let mut budget = PullBudget::new(LimitReport { remaining: 50, ..of("192.0.2.1") }, now);
        budget.learn_elsewhere(of("192.0.2.2"), now + seconds(60));
        assert_eq!(budget.report(now).map(|report| report.remaining), Some(50));
        budget.learn_elsewhere(of("192.0.2.1"), now + seconds(60));
        assert_eq!(budget.report(now).map(|report| report.remaining), Some(10));
    }

    #[test]
    fn the_time_until_it_runs_out_follows_the_last_minutes() {
        let now = Instant::now();
        let mut budget = PullBudget::new(report(100), now);
        assert_eq!(budget.runs_out_in(now), None);
        for minute in 1..=20 {
            budget.learn(report(100 - minute), now + seconds(60 * minute));
        }
        let later = now + seconds(20 * 60);
        assert_eq!(budget.runs_out_in(later), Some(seconds(80 * 60)), "one pull in a minute");
        budget.learn(report(100), later);
        assert_eq!(budget.runs_out_in(later), None, "a new window");
        budget.learn(report(0), later);
        assert_eq!(budget.runs_out_in(later), Some(Duration::ZERO));
    }
}
