//! Numbers below a counter that were never assigned: a restore skips some, so that no new record gets a number that is
//! known elsewhere. They distinguish a record that was deleted here from one that was created elsewhere.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Numbers that were skipped, as ascending ranges, each with its first and last number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped(Vec<(u64, u64)>);

impl Skipped {
    /// Returns true if no number was skipped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if this number was skipped.
    pub fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// Returns the numbers up to `last` that neither of two counters has assigned. A counter is its skipped numbers
    /// and its last number, beyond which it has assigned none either.
    pub(super) fn by_both([one, other]: [(&Self, u64); 2], last: u64) -> Self {
        let unassigned = |(skipped, own): (&Self, u64)| skipped.and(own + 1..=last).0;
        let (one, other) = (unassigned(one), unassigned(other));
        let both = one.iter().flat_map(|one| other.iter().map(|other| (one.0.max(other.0), one.1.min(other.1))));
        Self(both.filter(|(first, last)| first <= last).collect())
    }

    /// Returns these numbers with a range above all of them, which may be empty.
    pub(super) fn and(&self, range: RangeInclusive<u64>) -> Self {
        let mut ranges = self.0.clone();
        match ranges.last_mut() {
            _ if range.is_empty() => {}
            Some((_, last)) if *last + 1 == *range.start() => *last = *range.end(),
            Some(_) | None => ranges.push((*range.start(), *range.end())),
        }
        Self(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(ranges: &[(u64, u64)]) -> Skipped {
        Skipped(ranges.to_vec())
    }

    #[test]
    fn what_neither_counter_has_assigned_is_skipped() {
        let none = Skipped::default();
        assert_eq!(Skipped::by_both([(&none, 20), (&none, 0)], 20), none);
        // A standby that was restored from a backup with 20 numbers, and then from a later one with 60.
        let standby = none.and(21..=1020);
        assert_eq!(Skipped::by_both([(&none, 60), (&standby, 1020)], 1020), skipped(&[(61, 1020)]));
        // It has assigned two numbers of its own.
        assert_eq!(Skipped::by_both([(&none, 60), (&standby, 1022)], 1022), skipped(&[(61, 1020)]));
        let twice = skipped(&[(61, 1020), (1023, 2022)]);
        assert_eq!(Skipped::by_both([(&none, 1500), (&twice, 2022)], 2022), skipped(&[(1501, 2022)]));
        assert_eq!(Skipped::by_both([(&none, 10), (&twice, 2022)], 2022), twice);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let numbers = skipped(&[(5, 9)]).and(10..=12);
        assert_eq!(numbers, skipped(&[(5, 12)]));
        assert_eq!(numbers.and(20..=22).0, [(5, 12), (20, 22)]);
        assert!(numbers.contains(12) && !numbers.contains(13) && !numbers.contains(4));
        assert_eq!(numbers.and(RangeInclusive::new(13, 12)), numbers);
    }
}
