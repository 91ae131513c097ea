//! Pulls and bytes of a group within an hour, and their sums over several hours. They are kept for [`TRAFFIC_HOURS`].

use std::ops::AddAssign;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Pulls of manifests, and bytes of manifests and blobs. Pulls without a response are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Number of pulls that were served from the cache, also stale or after upstream had confirmed the manifest.
    pub hits: u64,
    /// Number of pulls that waited for the upstream request of another pull.
    #[serde(rename = "joined")] // The name in stored records.
    pub coalesced: u64,
    /// Number of pulls that needed upstream themselves.
    pub fetched: u64,
    /// Number of `GET` requests that sent no `GET` for the manifest to upstream.
    pub saved_pulls: u64,
    /// Number of bytes that were sent to clients.
    pub served_bytes: u64,
    /// Number of these that were in the cache, or were being downloaded for another request.
    pub saved_bytes: u64,
}

/// An hour, as its number since the epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

/// Number of hours for which traffic is kept and shown: 30 days.
pub const TRAFFIC_HOURS: u32 = 30 * 24;

const SECONDS_PER_HOUR: i64 = 3600;

impl Traffic {
    /// Returns the sum of what several hours or groups had.
    pub fn of_all<K>(each: &[(K, Self)]) -> Self {
        each.iter().fold(Self::default(), |mut sum, (_, one)| {
            sum += *one;
            sum
        })
    }

    /// Returns the number of all pulls.
    pub fn pulls(&self) -> u64 {
        self.hits.saturating_add(self.coalesced).saturating_add(self.fetched)
    }

    /// Returns the share of the pulls that were served from the cache, from 0 to 1; `None` without pulls.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.pulls() > 0).then(|| self.hits as f64 / self.pulls() as f64)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.hits = self.hits.saturating_add(other.hits);
        self.coalesced = self.coalesced.saturating_add(other.coalesced);
        self.fetched = self.fetched.saturating_add(other.fetched);
        self.saved_pulls = self.saved_pulls.saturating_add(other.saved_pulls);
        self.served_bytes = self.served_bytes.saturating_add(other.served_bytes);
        self.saved_bytes = self.saved_bytes.saturating_add(other.saved_bytes);
    }
}

impl Hour {
    /// Returns the hour of a time; the first for times before the epoch.
    pub fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_second().div_euclid(SECONDS_PER_HOUR)).unwrap_or(0))
    }

    /// Returns the time at which it begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(i64::from(self.0) * SECONDS_PER_HOUR).unwrap_or(Timestamp::MAX)
    }

    /// Returns the hour that many hours before.
    pub fn before(self, hours: u32) -> Self {
        Self(self.0.saturating_sub(hours))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn an_hour_begins_before_all_of_its_times() {
        let time: Timestamp = "2026-11-28T14:59:59Z".parse().unwrap();
        assert_eq!(Hour::of(time).start().to_string(), "2026-11-28T14:00:00Z");
        assert_eq!(Hour::of(time).before(15).start().to_string(), "2026-11-27T23:00:00Z");
        assert_eq!((Hour::of(Timestamp::MIN), Hour(1).before(2)), (Hour(0), Hour(0)));
    }

    #[test]
    fn the_hit_ratio_leaves_out_who_waited_for_another_and_is_unknown_without_pulls() {
        assert_eq!(Traffic::default().hit_ratio(), None);
        let one = Traffic { hits: 2, coalesced: 1, fetched: 1, ..Traffic::default() };
        let sum = Traffic::of_all(&[(Hour(1), one), (Hour(2), one)]);
        assert_eq!((sum.pulls(), sum.hit_ratio()), (8, Some(0.5)));
    }
}
