//! The janitor's work, on a blocking thread. Decides nothing about when it is done.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::blob_cache::Blobs;
use super::super::expiring::ExpiringTokens;
use super::super::last_used::LastUsed;
use super::super::manifests::Manifests;
use super::super::policy_evaluator::Policy;
use crate::domain::id::GroupId;
use crate::store::blobs::BlobFiles;
use crate::store::durable::Leftovers;
use crate::store::error::StoreError;
use crate::store::identity::IdentityStore;
use crate::store::index::Index;

/// What the janitor works on.
#[derive(Clone)]
pub struct Parts {
    /// The owner of the identities.
    pub policy: Policy,
    /// Times of last use.
    pub last_used: LastUsed,
    /// What remembers links and manifests in memory.
    pub manifests: Manifests,
    /// What remembers links in memory.
    pub blobs: Blobs,
    /// The identities on disk.
    pub identities: Arc<IdentityStore>,
    /// The index on disk.
    pub index: Arc<Index>,
    /// The blobs on disk.
    pub files: BlobFiles,
    /// How many deleted tokens are remembered.
    pub max_tombstones: usize,
    /// Which tokens were named because they expire.
    pub expiring: ExpiringTokens,
    /// What killed processes have left half-written.
    pub leftovers: Leftovers,
}

impl Parts {
    /// Writes what waits, and what is due.
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

    /// Writes everything that waits, as before the process ends.
    pub(super) fn finish(&self) {
        self.tidy();
        report("the export of identities", self.identities.write_export());
        report("the identities", self.identities.flush());
    }

    pub(super) fn purge(&self, group: GroupId) -> Result<usize, StoreError> {
        let orphans = self.index.forget_group(group)?;
        self.manifests.forget_group(group);
        self.blobs.forget_group(group);
        for digest in &orphans {
            self.manifests.remove_unlinked(digest)?;
            if !self.index.is_linked(digest)? {
                self.files.remove(digest)?;
            }
        }
        self.index.remove_files(group)?;
        Ok(orphans.len())
    }

    /// Purges groups that are gone or are to be forgotten: a crash may have come before, or a late pull.
    pub(super) fn purge_deleted(&self) -> Result<(), StoreError> {
        let directory = self.policy.directory();
        let deleted = self
            .index
            .groups()?
            .into_iter()
            .filter(|group| directory.group(*group).is_none() || self.index.is_forgotten(*group));
        deleted.into_iter().try_for_each(|group| self.purge(group).map(drop))
    }

    /// Forgets when credentials were last used that are gone.
    pub(super) fn forget_last_used(&self) -> Result<(), StoreError> {
        let gone = self.last_used.gone(|| self.policy.directory());
        self.identities.forget_last_used(&gone)?;
        self.last_used.forget(&gone);
        Ok(())
    }
}

/// Logs what did not work: the next time may.
pub(super) fn report(what: &'static str, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{what} could not be written");
    }
}
