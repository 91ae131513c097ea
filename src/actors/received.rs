//! Content that this replica has received from upstream or from another replica. It may send it to others.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::domain::digest::Digest;

/// The keys of received content. Cheap to clone.
#[derive(Clone)]
pub(super) struct Received(Arc<Cache<Digest, ()>>);

/// Maximum number of blobs, or manifests, of which it is known that this replica has received them.
const MAX_RECEIVED: usize = 100_000;

impl Default for Received {
    fn default() -> Self {
        Self(Arc::new(Cache::new(MAX_RECEIVED)))
    }
}

impl Received {
    /// Returns true if the content with this key was received.
    pub(super) fn has(&self, key: &Digest) -> bool {
        self.0.contains_key(key)
    }

    /// Notes that the content with this key is being received.
    pub(super) fn note(&self, key: Digest) {
        self.0.insert(key, ());
    }

    /// Notes that it could not be received.
    pub(super) fn forget(&self, key: &Digest) {
        self.0.remove(key);
    }
}
