//! Context that the handle, the actor and its downloads share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::RwLock;

use super::BlobCacheOptions;
use super::upstream::{BlobKey, BlobUpstream};
use crate::actors::admission::AdmissionLimit;
use crate::actors::evictor::Evictor;
use crate::actors::unstored_reports::UnstoredReports;
use crate::domain::download::{Expected, Unstored};
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::blobs::BlobFiles;
use crate::store::content::{ContentStore, Grant, Pulled};
use crate::store::error::StoreError;
use crate::store::link::Link;
use crate::store::spool::Spool;
use crate::telemetry::LineLimit;

/// Maximum number of blobs that are remembered for a wrong length in a manifest. At the limit all are dropped.
const MAX_WRONG_CLAIMS: usize = 1_000;

/// Function that returns the quota of a group in bytes; `None` if it has none.
pub type GroupQuotas = Arc<dyn Fn(GroupId) -> Option<u64> + Send + Sync>;

/// Shared context of all downloads. Only the permits, the reports and the remembered wrong lengths change.
pub(super) struct DownloadContext {
    pub(super) upstream: Arc<dyn BlobUpstream>,
    pub(super) content: ContentStore,
    pub(super) files: BlobFiles,
    pub(super) spool: Spool,
    pub(super) options: BlobCacheOptions,
    pub(super) unstored_streams: AdmissionLimit,
    pub(super) unstored: UnstoredReports,
    pub(super) evictor: Evictor,
    pub(super) quotas: GroupQuotas,
    /// Blobs whose length a manifest may state wrongly.
    pub(super) misled: Mutex<HashSet<BlobKey>>,
    /// Held for reading from before a blob's last byte is released until the blob is stored and linked. A
    /// shutdown waits for the write lock.
    pub(super) committing: Arc<RwLock<()>>,
}

impl DownloadContext {
    /// Creates the context over these stores.
    pub(super) fn new(
        upstream: Arc<dyn BlobUpstream>,
        (content, files, spool): (ContentStore, BlobFiles, Spool),
        (evictor, quotas): (Evictor, GroupQuotas),
        options: BlobCacheOptions,
    ) -> Self {
        let unstored_streams = AdmissionLimit::new("unstored_streams", options.max_unstored_streams.get());
        let unstored = UnstoredReports::of_blobs(files.clone());
        let (misled, committing) = Default::default();
        Self {
            upstream,
            content,
            files,
            spool,
            options,
            unstored_streams,
            unstored,
            evictor,
            quotas,
            misled,
            committing,
        }
    }

    /// Grants the group a link. A failure is only logged: without the link the next request is decided by
    /// upstream again.
    pub(super) async fn link(&self, group: GroupId, key: &BlobKey, size: u64) {
        let links = vec![(key.digest, Link::granted(Some(size)))];
        let grant = Grant { group, origin: key.origin.clone(), links, pulled: Pulled::Blob };
        match self.evictor.with_room(0, || self.content.grant(grant.clone(), None)).await {
            Ok(_) | Err(StoreError::Closed) => {}
            Err(StoreError::Full) => self.unstored.report(Unstored::NoSpace, Some((&key.origin, &key.digest))),
            Err(error) => {
                static LINES: LineLimit<Origin> = LineLimit::new();
                if let Some(left_out) = LINES.admit(&key.origin) {
                    tracing::warn!(%group, image = %key.origin, digest = %key.digest, %error, left_out, "a link could not be stored");
                }
            }
        }
    }

    /// Records that a download failed that relied on a manifest's length. The next download of the blob
    /// does not use it.
    pub(super) fn distrust(&self, key: &BlobKey) {
        let mut misled = self.misled.lock().unwrap_or_else(PoisonError::into_inner);
        if misled.len() >= MAX_WRONG_CLAIMS {
            misled.clear();
        }
        misled.insert(key.clone());
    }

    /// Returns the expected length without a manifest's claim, if a download that relied on that claim failed before.
    pub(super) fn trusted(&self, key: &BlobKey, expected: Expected) -> Expected {
        let misled = self.misled.lock().unwrap_or_else(PoisonError::into_inner);
        Expected { claimed: expected.claimed.filter(|_| !misled.contains(key)), ..expected }
    }
}
