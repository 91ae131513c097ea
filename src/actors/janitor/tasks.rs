//! The janitor's tasks, which run on a blocking thread. The actor decides when they run.

use std::sync::Arc;

use jiff::Timestamp;

use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::last_used::LastUsed;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::domain::id::GroupId;
use crate::store::atomic_file::TempFileSweep;
use crate::store::blobs::BlobFiles;
use crate::store::embedded::identity::IdentityStore;
use crate::store::embedded::index::Index;
use crate::store::error::StoreError;

/// The handles and stores that the janitor works on.
#[derive(Clone)]
pub struct Parts {
    /// The owner of the identities.
    pub policy: PolicyEvaluatorHandle,
    /// Times of last use.
    pub last_used: LastUsed,
    /// The manifests, with their links in memory.
    pub manifests: ManifestCacheHandle,
    /// The blob cache, with its links in memory.
    pub blobs: BlobCacheHandle,
    /// The identities on disk.
    pub identities: Arc<IdentityStore>,
    /// The index on disk.
    pub index: Arc<Index>,
    /// The blobs on disk.
    pub files: BlobFiles,
    /// Maximum number of tombstones of deleted tokens that are kept.
    pub max_tombstones: usize,
    /// Reports on tokens that are about to expire.
    pub expiring: ExpiringTokens,
    /// Temporary files that killed processes have left behind.
    pub leftovers: TempFileSweep,
}

impl Parts {
    /// Writes what waits to be written, and updates the gauges.
    pub(super) fn tidy(&self) {
        report("times of last use", self.identities.note_last_used(self.last_used.take_unwritten()));
        report("the index", self.index.flush());
        self.identities.refill_reserve();
        self.files.close_removed();
        self.expiring.report(&self.policy.directory(), Timestamp::now());
        if let Ok(free) = self.files.free() {
            metrics::gauge!("dependency_proxy_free_bytes").set(free as f64);
        }
        report("the export or the journal of identities", self.identities.tidy());
    }

    /// Writes everything that waits to be written, for the end of the process.
    pub(super) fn finish(&self) {
        self.tidy();
        report("the export of identities", self.identities.write_export());
        report("the identities", self.identities.flush());
    }

    /// Removes everything that a group has cached. Returns the number of files that no other group had a link to.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The purge is then repeated by [`Self::purge_deleted`].
    pub(super) fn purge(&self, group: GroupId) -> Result<usize, StoreError> {
        // The links go first: from then on no request of the group can open the content, whatever fails after that.
        let orphans = self.index.forget_group(group)?;
        self.manifests.forget_group(group);
        self.blobs.forget_group(group);
        for digest in &orphans {
            self.manifests.remove_unlinked(digest)?;
            // Another group may have got a link to it meanwhile.
            if !self.index.is_linked(digest)? {
                self.files.remove(digest)?;
            }
        }
        self.index.remove_files(group)?;
        Ok(orphans.len())
    }

    /// Purges the groups that are deleted or marked for a purge, but still have cached content: the process may
    /// have been killed during their purge, or a pull ended after it.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; the remaining groups are left for the next call.
    pub(super) fn purge_deleted(&self) -> Result<(), StoreError> {
        let directory = self.policy.directory();
        let deleted = self
            .index
            .groups()?
            .into_iter()
            .filter(|group| directory.group(*group).is_none() || self.index.is_forgotten(*group));
        deleted.into_iter().try_for_each(|group| self.purge(group).map(drop))
    }

    /// Forgets the times of last use of credentials that are deleted.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) fn forget_last_used(&self) -> Result<(), StoreError> {
        let gone = self.last_used.gone(|| self.policy.directory());
        self.identities.forget_last_used(&gone)?;
        self.last_used.forget(&gone);
        Ok(())
    }
}

/// Logs a failure. The same work is tried again at the next interval.
pub(super) fn report(what: &'static str, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{what} could not be written");
    }
}
