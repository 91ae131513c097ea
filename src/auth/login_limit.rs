//! Rate limits by key, such as those on failed logins, which prevent password guessing. A leaky bucket per key; reads
//! no clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The rate limit of a key. It counts failures, or whatever else the caller records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Maximum number of failures without a pause.
    pub burst: u32,
    /// The time after which one failure is forgotten.
    pub forget_one_after: Duration,
}

/// The failures of each key that are not yet forgotten.
#[derive(Debug)]
pub struct Failures<K> {
    allowance: Allowance,
    buckets: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

/// Returns the address under which a client is counted: an IPv4 address itself, and for IPv6 the network of 64 bits,
/// because one customer may use any address in it.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// Maximum number of keys, which take about 10 MB. An attacker with more addresses than this is not stopped by
/// counting.
const MAX_KEYS: usize = 65_536;

impl<K: Eq + Hash> Failures<K> {
    /// Creates an empty set with this rate limit.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, buckets: HashMap::new() }
    }

    /// Returns the time that this key has to wait before the next attempt; `None` if it need not wait.
    pub fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let over = self.level(key, now) + 1.0 - f64::from(self.allowance.burst);
        (over > 0.0).then(|| self.allowance.forget_one_after.mul_f64(over))
    }

    /// Counts a failure.
    pub fn record(&mut self, key: K, now: Instant) {
        self.record_many(key, 1, now);
    }

    /// Counts several failures at once. The wait that follows is at most the time in which a burst is forgotten.
    pub fn record_many(&mut self, key: K, count: u32, now: Instant) {
        if self.buckets.len() >= MAX_KEYS {
            self.sweep(now);
        }
        let (level, max) = (self.level(&key, now), 2.0 * f64::from(self.allowance.burst));
        let level = (level + f64::from(count)).min(max.max(level + 1.0));
        self.buckets.insert(key, Bucket { level, at: now });
    }

    /// Raises the failures of a key to this number, which other replicas have counted.
    pub fn raise(&mut self, key: K, failures: f64, now: Instant) {
        if self.level(&key, now) < failures {
            self.set(key, failures, now);
        }
    }

    /// Adds failures, or takes some back.
    pub fn change(&mut self, key: K, failures: f64, now: Instant) {
        let level = (self.level(&key, now) + failures).max(0.0);
        self.set(key, level, now);
    }

    fn set(&mut self, key: K, level: f64, now: Instant) {
        if level <= 0.0 {
            self.buckets.remove(&key);
            return;
        }
        if self.buckets.len() >= MAX_KEYS {
            self.sweep(now);
        }
        self.buckets.insert(key, Bucket { level, at: now });
    }

    /// Drops the keys without failures, and then those with the fewest failures until at most half of the maximum is
    /// left, so that the next sweep does not follow soon.
    fn sweep(&mut self, now: Instant) {
        let allowance = self.allowance;
        self.buckets.retain(|_, bucket| bucket.level(&allowance, now) > 0.0);
        let Some(surplus) = self.buckets.len().checked_sub(MAX_KEYS / 2).filter(|surplus| *surplus > 0) else { return };
        let mut levels: Vec<f64> = self.buckets.values().map(|bucket| bucket.level(&allowance, now)).collect();
        let (fewer, limit, _) = levels.select_nth_unstable_by(surplus - 1, f64::total_cmp);
        let limit = *limit;
        let mut equal = surplus - fewer.iter().filter(|level| **level < limit).count();
        self.buckets.retain(|_, bucket| {
            let level = bucket.level(&allowance, now);
            let drops = level < limit || (level <= limit && equal > 0);
            equal -= usize::from(drops && level >= limit);
            !drops
        });
    }

    fn level(&self, key: &K, now: Instant) -> f64 {
        self.buckets.get(key).map_or(0.0, |bucket| bucket.level(&self.allowance, now))
    }
}

impl Bucket {
    fn level(&self, allowance: &Allowance, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.level - passed / allowance.forget_one_after.as_secs_f64()).max(0.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { burst: 3, forget_one_after: Duration::from_secs(10) };

    #[test]
    fn a_key_waits_once_its_failures_are_used_up_and_no_other_key_does() {
        let (mut failures, now) = (Failures::new(ALLOWANCE), Instant::now());
        for _ in 0..3 {
            assert_eq!(failures.wait(&"alice", now), None);
            failures.record("alice", now);
        }
        assert_eq!(failures.wait(&"alice", now), Some(Duration::from_secs(10)));
        assert_eq!(failures.wait(&"alice", now + Duration::from_secs(10)), None);
        assert_eq!(failures.wait(&"bob", now), None);
    }

    #[test]
    fn failures_that_others_have_counted_count_as_well_and_are_forgotten_alike() {
        let (mut failures, now) = (Failures::new(ALLOWANCE), Instant::now());
        failures.record("alice", now);
        failures.raise("alice", 3.5, now);
        assert_eq!(failures.wait(&"alice", now), Some(Duration::from_secs(15)));
        failures.raise("alice", 0.5, now);
        assert_eq!(failures.wait(&"alice", now + Duration::from_secs(5)), Some(Duration::from_secs(10)));
        assert_eq!(failures.wait(&"alice", now + Duration::from_secs(15)), None);
    }

    #[test]
    fn what_was_forgiven_does_not_count() {
        let (mut failures, now) = (Failures::new(ALLOWANCE), Instant::now());
        for _ in 0..10 {
            failures.record("alice", now);
            failures.change("alice", -1.0, now);
        }
        assert_eq!(failures.wait(&"alice", now), None);
    }

    #[test]
    fn one_network_is_one_however_many_addresses_it_has() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn forgotten_keys_take_no_room() {
        let (mut failures, now) = (Failures::new(ALLOWANCE), Instant::now());
        for key in 0..MAX_KEYS {
            failures.record(key, now);
        }
        failures.record(0, now + Duration::from_secs(100));
        assert_eq!(failures.buckets.len(), 1);
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_room_and_frees_none_that_failed_more_often() {
        let (mut failures, now) = (Failures::new(ALLOWANCE), Instant::now());
        for _ in 0..3 {
            failures.record(0, now);
        }
        for key in 1..MAX_KEYS * 3 {
            failures.record(key, now);
            assert!(failures.buckets.len() <= MAX_KEYS);
        }
        assert!(failures.buckets.len() >= MAX_KEYS / 2);
        assert_eq!(failures.wait(&0, now), Some(Duration::from_secs(10)));
    }
}
