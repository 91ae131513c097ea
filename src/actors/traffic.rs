//! Pulls and bytes of each group: counted in memory, added every few seconds to those of the present hour in the index,
//! or in the database of several replicas ([`TrafficRecords`]).

mod records;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

pub use self::records::TrafficRecords;
use super::cache_status::CacheStatus;
use crate::domain::id::GroupId;
use crate::domain::traffic::Traffic;

/// Counts that are not written yet, of all groups. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct TrafficCounts(Arc<ArcSwap<imbl::HashMap<GroupId, Arc<GroupTraffic>>>>);

/// Counts of one group.
#[derive(Debug, Default)]
pub struct GroupTraffic {
    hits: AtomicU64,
    coalesced: AtomicU64,
    fetched: AtomicU64,
    saved_pulls: AtomicU64,
    served_bytes: AtomicU64,
    saved_bytes: AtomicU64,
}

/// Counter of the bytes of one response.
#[derive(Clone, Debug)]
pub struct ServedBytes {
    group: Arc<GroupTraffic>,
    saved: bool,
}

impl TrafficCounts {
    /// Returns the counts of a group.
    pub fn of(&self, group: GroupId) -> Arc<GroupTraffic> {
        if let Some(known) = self.0.load().get(&group) {
            return known.clone();
        }
        self.0.rcu(|all| {
            let mut all = imbl::HashMap::clone(all);
            all.entry(group).or_default();
            all
        });
        self.0.load().get(&group).cloned().unwrap_or_default()
    }

    /// Returns what was counted since the last call, of the groups that had something.
    pub fn take(&self) -> Vec<(GroupId, Traffic)> {
        let all = self.0.load_full();
        all.iter()
            .map(|(group, counts)| (*group, counts.take()))
            .filter(|(_, one)| *one != Traffic::default())
            .collect()
    }

    /// Puts counts back that could not be written.
    pub fn put_back(&self, counts: Vec<(GroupId, Traffic)>) {
        counts.into_iter().for_each(|(group, one)| self.of(group).add(one));
    }
}

impl GroupTraffic {
    /// Counts a pull of a manifest. `fetches` is true if content of the image comes from upstream in any case; `get` is
    /// false for `HEAD`.
    pub fn pulled(&self, source: CacheStatus, fetches: bool, get: bool) {
        let counter = match source {
            CacheStatus::Miss => &self.fetched,
            _ if fetches => &self.fetched,
            CacheStatus::Coalesced => &self.coalesced,
            CacheStatus::Hit | CacheStatus::Revalidated | CacheStatus::Revalidating | CacheStatus::Stale => &self.hits,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if get && source != CacheStatus::Miss {
            self.saved_pulls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counter of the bytes of a response from this source.
    pub fn served(self: Arc<Self>, source: CacheStatus) -> ServedBytes {
        ServedBytes { group: self, saved: source != CacheStatus::Miss }
    }

    fn take(&self) -> Traffic {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Traffic {
            hits: take(&self.hits),
            coalesced: take(&self.coalesced),
            fetched: take(&self.fetched),
            saved_pulls: take(&self.saved_pulls),
            served_bytes: take(&self.served_bytes),
            saved_bytes: take(&self.saved_bytes),
        }
    }

    fn add(&self, traffic: Traffic) {
        for (counter, more) in [
            (&self.hits, traffic.hits),
            (&self.coalesced, traffic.coalesced),
            (&self.fetched, traffic.fetched),
            (&self.saved_pulls, traffic.saved_pulls),
            (&self.served_bytes, traffic.served_bytes),
            (&self.saved_bytes, traffic.saved_bytes),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl ServedBytes {
    /// Counts bytes that were sent.
    pub fn add(&self, bytes: u64) {
        self.group.served_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.saved {
            self.group.saved_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_once_and_those_that_were_put_back_again() {
        let counts = TrafficCounts::default();
        let of = |group| counts.of(GroupId(group));
        for (source, fetches) in [
            (CacheStatus::Hit, false),
            (CacheStatus::Miss, true),
            (CacheStatus::Coalesced, false),
            (CacheStatus::Hit, true),
        ] {
            of(1).pulled(source, fetches, true);
        }
        of(1).pulled(CacheStatus::Stale, false, false);
        of(1).served(CacheStatus::Miss).add(10);
        of(1).served(CacheStatus::Coalesced).add(5);
        of(2);
        let traffic = Traffic { hits: 2, coalesced: 1, fetched: 2, saved_pulls: 3, served_bytes: 15, saved_bytes: 5 };
        assert_eq!(counts.take(), [(GroupId(1), traffic)]);
        assert_eq!(counts.take(), []);
        counts.put_back(vec![(GroupId(1), traffic)]);
        assert_eq!(counts.take(), [(GroupId(1), traffic)]);
    }
}
