//! Keys that a comparison of the database with the small files has found in the files.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Hashes of the keys that a comparison has found in the files, and of those that were added meanwhile. `None`
/// while no comparison runs.
#[derive(Default)]
pub(super) struct Found {
    hasher: RandomState,
    keys: Mutex<Option<HashSet<u64>>>,
}

impl Found {
    /// Records the key of an entry that has a file, if a comparison is running.
    pub(super) fn note(&self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        if let Some(keys) = &mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner) {
            keys.insert(hash);
        }
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().is_none_or(|keys| keys.contains(&self.hasher.hash_one(key)))
    }

    pub(super) fn begin(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(HashSet::new());
    }

    pub(super) fn end(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
