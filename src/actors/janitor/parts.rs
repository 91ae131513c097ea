//! The handles and stores that the janitor works on.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::trims::Trims;
use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::evictor::Evictor;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::last_used::LastUsed;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::pull_records::PullRecords;
use crate::actors::pulls::PullCounts;
use crate::actors::traffic::{TrafficCounts, TrafficRecords};
use crate::store::atomic_file::TempFileSweep;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::identities::IdentityStore;

/// The handles and stores that the janitor works on.
#[derive(Clone)]
pub struct Parts {
    /// The owner of the identities.
    pub policy: PolicyEvaluatorHandle,
    /// The audit events.
    pub audit: AuditTrail,
    /// Times of last use.
    pub last_used: LastUsed,
    /// The manifests, with their links in memory.
    pub manifests: ManifestCacheHandle,
    /// The blob cache, with its links in memory.
    pub blobs: BlobCacheHandle,
    /// The identities in the store.
    pub identities: IdentityStore,
    /// The index and the manifests in the store.
    pub content: ContentStore,
    /// The blobs on disk.
    pub files: BlobFiles,
    /// Evicts content, so that there is space for new content.
    pub evictor: Evictor,
    /// Pulls of images.
    pub pulls: PullCounts,
    /// Records of who pulled which image.
    pub pull_records: PullRecords,
    /// Traffic of groups.
    pub traffic: TrafficCounts,
    /// The traffic that is written.
    pub traffic_records: TrafficRecords,
    /// Number of days after its last pull after which an image is removed, where its group has no setting of its own;
    /// 0: never.
    pub unpulled_days: u32,
    /// Held while removals of images are completed.
    pub completing: Arc<Mutex<()>>,
    /// State of the quotas of groups.
    pub trims: Trims,
    /// Maximum number of tombstones of deleted tokens that are kept.
    pub max_tombstones: usize,
    /// Reports on tokens that are about to expire.
    pub expiring: ExpiringTokens,
    /// Temporary files that killed processes have left behind.
    pub leftovers: TempFileSweep,
}
