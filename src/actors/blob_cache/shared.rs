//! What the handle, the actor and its downloads have in common, and what they do alike.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::RwLock;

use super::super::places::Places;
use super::super::unstored::UnstoredReports;
use super::BlobCacheOptions;
use super::ports::{BlobUpstream, Key};
use crate::domain::download::{Expected, Unstored};
use crate::domain::id::GroupId;
use crate::store::blobs::BlobFiles;
use crate::store::error::StoreError;
use crate::store::index::{Index, Link};
use crate::store::spool::Spool;

/// Maximum number of blobs that are remembered for a wrong length in a manifest.
const MAX_MISLED: usize = 1_000;

/// Nothing in it changes but permits and what is remembered of wrong lengths.
pub(super) struct Shared {
    pub(super) upstream: Arc<dyn BlobUpstream>,
    pub(super) index: Arc<Index>,
    pub(super) files: BlobFiles,
    pub(super) spool: Spool,
    pub(super) options: BlobCacheOptions,
    pub(super) alone: Places,
    pub(super) unstored: UnstoredReports,
    /// Blobs whose length a manifest claims wrongly.
    pub(super) misled: Mutex<HashSet<Key>>,
    /// Held for reading from before a blob's last byte is given out until it is stored and linked.
    pub(super) committing: Arc<RwLock<()>>,
}

impl Shared {
    /// Gives the group a link. Without one upstream is merely asked again, so a failure is no more than a warning. Blocks.
    pub(super) fn link(&self, group: GroupId, key: &Key, size: u64) {
        let link = Link { size: Some(size), proven: true };
        match self.index.add_links(group, &key.origin, &[(key.digest, link)]) {
            Ok(()) => {}
            Err(StoreError::Full) => self.unstored.report(Unstored::NoRoom, Some(&key.origin)),
            Err(error) => tracing::warn!(%group, digest = %key.digest, %error, "a link could not be stored"),
        }
    }

    /// A download that failed may have had a wrong length from a manifest: the next one waits for its end instead.
    pub(super) fn distrust(&self, key: &Key) {
        let mut misled = self.misled.lock().unwrap_or_else(PoisonError::into_inner);
        if misled.len() >= MAX_MISLED {
            misled.clear();
        }
        misled.insert(key.clone());
    }

    /// What is known of the length, without a claim that led astray before.
    pub(super) fn trusted(&self, key: &Key, expected: Expected) -> Expected {
        let misled = self.misled.lock().unwrap_or_else(PoisonError::into_inner);
        Expected { claimed: expected.claimed.filter(|_| !misled.contains(key)), ..expected }
    }
}
