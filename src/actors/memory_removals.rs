//! Guard of the caches in memory against removals in the store: an entry that was read from the store before a removal
//! is not in memory after it. (Not the removal of images: see [`images`](super::images) and
//! [`janitor`](super::janitor).)

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The removals from caches in memory. Cheap to clone; the clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Removals(Arc<AtomicU64>);

/// The number of removals at the time of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RemovalsSeen(u64);

impl Removals {
    /// Returns the number of removals so far. Called before the store is read.
    pub(super) fn seen(&self) -> RemovalsSeen {
        RemovalsSeen(self.0.load(Ordering::SeqCst))
    }

    /// Removes entries from memory, after they were removed from the store.
    pub(super) fn remove(&self, remove: impl FnOnce()) {
        // Counted first: if this removal misses an entry because it is inserted meanwhile, the insertion sees the new
        // count.
        self.0.fetch_add(1, Ordering::SeqCst);
        remove();
    }

    /// Puts what was read from the store into memory, unless something was removed since then.
    pub(super) fn insert<K, V, W>(&self, cache: &Cache<K, V, W>, key: K, value: V, seen: RemovalsSeen)
    where
        K: Clone + Eq + Hash,
        V: Clone,
        W: Weighter<K, V> + Clone,
    {
        if self.seen() != seen {
            return;
        }
        cache.insert(key.clone(), value);
        // Compared again: a removal that comes later finds the entry, but one that began meanwhile may have missed it.
        if self.seen() != seen {
            cache.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A weighter of a cache from which something is removed during each insertion, if it is set.
    #[derive(Clone)]
    struct Removing(Option<Removals>);

    impl Weighter<u8, ()> for Removing {
        fn weight(&self, _: &u8, (): &()) -> u64 {
            if let Some(removals) = &self.0 {
                removals.remove(|| {});
            }
            1
        }
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_in_memory_after_it() {
        let (removals, cache) = (Removals::default(), Cache::with_weighter(10, 10, Removing(None)));
        let before = removals.seen();
        removals.insert(&cache, 1, (), before);
        assert!(cache.contains_key(&1));
        removals.remove(|| cache.clear());
        assert!(!cache.contains_key(&1));
        removals.insert(&cache, 1, (), before);
        assert!(!cache.contains_key(&1));
        removals.insert(&cache, 1, (), removals.seen());
        assert!(cache.contains_key(&1));
    }

    #[test]
    fn a_removal_during_an_insertion_takes_the_entry_away() {
        let removals = Removals::default();
        let cache = Cache::with_weighter(10, 10, Removing(Some(removals.clone())));
        removals.insert(&cache, 1, (), removals.seen());
        assert!(!cache.contains_key(&1));
    }
}
