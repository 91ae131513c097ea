//! Records of who pulled which image, and from where: counted in memory by credential and day, written to the index
//! every few seconds. A pull of the same credential from the same address is counted once a minute. Within that minute
//! its further requests take no lock and allocate nothing; the first takes the lock of one shard.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;

use super::once_per_tick::OncePerTick;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::policy::Identity;
use crate::domain::pull_record::{Day, PullRecord};
use crate::domain::reference::Reference;
use crate::formats::quantity;
use crate::store::images::PullKey;

/// Records that are not written yet. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct PullRecords(Arc<Inner>);

/// Limits of the records of who pulled images: keys of `[audit]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PullRecordOptions {
    /// Number of days for which records are kept; 0: nothing is recorded.
    pub pull_days: u32,
    /// Maximum size of all records, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_pull_bytes: u64,
}

/// A pull of an image.
#[derive(Clone, Copy, Debug)]
pub struct ImagePull<'a> {
    /// The group.
    pub group: GroupId,
    /// The upstream, account and repository.
    pub origin: &'a Origin,
    /// The tag or digest that was requested.
    pub reference: &'a Reference,
    /// The caller.
    pub identity: &'a Identity,
    /// The address of the client.
    pub address: IpAddr,
}

struct Inner {
    options: PullRecordOptions,
    shards: [Mutex<HashMap<PullKey, PullRecord>>; SHARDS],
    /// Repeated pulls within one minute skip the shards.
    counted: OncePerTick<16_384>,
    hasher: RandomState,
}

/// Number of locks, so that worker threads seldom wait for each other.
const SHARDS: usize = 16;

/// Maximum number of records in a shard that are not written, about 500 bytes each. Pulls beyond it are not recorded,
/// but counted in a metric.
const MAX_UNWRITTEN: usize = 4_000;

/// Time within which the pulls of an image by one credential from one address count as one, in seconds.
pub(super) const WINDOW_SECONDS: i64 = 60;

impl PullRecords {
    /// Creates an empty set of records.
    pub fn new(options: PullRecordOptions) -> Self {
        let counted = OncePerTick::default();
        let shards = std::array::from_fn(|_| Mutex::default());
        Self(Arc::new(Inner { options, shards, counted, hasher: RandomState::new() }))
    }

    /// Returns the limits of the records.
    pub fn options(&self) -> PullRecordOptions {
        self.0.options
    }

    /// Records a pull at `now`. `hash_of_pull` identifies group, image and credential.
    pub(super) fn note(&self, hash_of_pull: u64, pull: &ImagePull<'_>, now: Timestamp) {
        if self.0.options.pull_days == 0 {
            return;
        }
        let with_address = self.0.hasher.hash_one((hash_of_pull, pull.address));
        self.0.counted.note(with_address, minute(now), || {
            let (key, record) = (PullKey::of(pull, now), PullRecord::of(pull.identity, pull.address, now));
            let mut shard = self.shard_of(&key);
            let is_full = shard.len() >= MAX_UNWRITTEN;
            match shard.get_mut(&key) {
                Some(known) => known.add(&record),
                None if is_full => note_dropped(record.count),
                None => drop(shard.insert(key, record)),
            }
        });
    }

    /// Returns the records since the last call.
    pub(super) fn take(&self) -> Vec<(PullKey, PullRecord)> {
        (0..SHARDS).flat_map(|shard| mem::take(&mut *self.shard(shard))).collect()
    }

    /// Puts records back that could not be written.
    pub(super) fn put_back(&self, records: Vec<(PullKey, PullRecord)>) {
        for (key, mut record) in records {
            let mut shard = self.shard_of(&key);
            match shard.get(&key) {
                Some(later) => record.add(later),
                None if shard.len() >= MAX_UNWRITTEN => {
                    note_dropped(record.count);
                    continue;
                }
                None => {}
            }
            shard.insert(key, record);
        }
    }

    /// Returns the shard of this key. One key is always in one shard, so that its addresses stay in order.
    fn shard_of(&self, key: &PullKey) -> MutexGuard<'_, HashMap<PullKey, PullRecord>> {
        self.shard(self.0.hasher.hash_one(key) as usize % SHARDS)
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, HashMap<PullKey, PullRecord>> {
        self.0.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts pulls without a record of who made them, because there are too many records.
pub(super) fn note_dropped(pulls: u64) {
    metrics::counter!("dependency_proxy_pull_records_dropped_total").increment(pulls);
}

/// Returns the number of the minute of a time, counted from the epoch.
pub(super) fn minute(now: Timestamp) -> i64 {
    now.as_second().div_euclid(WINDOW_SECONDS)
}

impl PullKey {
    fn of(pull: &ImagePull<'_>, now: Timestamp) -> Self {
        Self {
            day: Day::of(now),
            group: pull.group,
            upstream: pull.origin.upstream.clone(),
            repository: pull.origin.repository.clone(),
            reference: pull.reference.clone(),
            credential: pull.identity.credential(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::Account;

    fn origin() -> Origin {
        let repository = "library/alpine".parse().unwrap();
        Origin { upstream: "docker.io".parse().unwrap(), account: Account::Anonymous, repository }
    }

    fn noted(records: &PullRecords, pulls: &[(i64, u8)]) {
        let (origin, reference) = (origin(), "latest".parse().unwrap());
        for (second, address) in pulls {
            let (group, address) = (GroupId(1), IpAddr::from([10, 0, 0, *address]));
            let pull =
                ImagePull { group, origin: &origin, reference: &reference, identity: &Identity::Nobody, address };
            records.note(7, &pull, Timestamp::from_second(*second).unwrap());
        }
    }

    #[test]
    fn a_minute_of_pulls_from_one_address_is_one_pull_and_each_day_has_its_record() {
        let records = PullRecords::new(PullRecordOptions { pull_days: 30, max_pull_bytes: 0 });
        noted(&records, &[(0, 1), (59, 1), (60, 1), (61, 2), (86_400, 1)]);
        let count = |taken: Vec<(PullKey, PullRecord)>, day| {
            taken.iter().filter(|(key, _)| key.day == Day(day)).map(|(_, record)| record.count).sum::<u64>()
        };
        let taken = records.take();
        assert_eq!((count(taken.clone(), 0), count(taken.clone(), 1)), (3, 1));
        assert_eq!(records.take(), []);
        records.put_back(taken.clone());
        assert_eq!(records.take().len(), taken.len());
    }

    #[test]
    fn nothing_is_recorded_for_no_days() {
        let records = PullRecords::new(PullRecordOptions { pull_days: 0, max_pull_bytes: 0 });
        noted(&records, &[(0, 1)]);
        assert_eq!(records.take(), []);
    }
}
