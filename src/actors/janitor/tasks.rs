//! The janitor's tasks. The actor decides when they run.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::evictor::Evictor;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::janitor::limits::Trims;
use crate::actors::last_used::LastUsed;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::{Edited, PolicyEvaluatorHandle};
use crate::actors::pull_records::{self, PullRecords};
use crate::actors::pulls::PullCounts;
use crate::actors::traffic::{TrafficCounts, TrafficRecords};
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::audit::{Author, Who};
use crate::domain::commands::{CommandError, retention};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::pull_record::Day;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS};
use crate::store::atomic_file::TempFileSweep;
use crate::store::blobs::BlobFiles;
use crate::store::blocking::blocking;
use crate::store::content::{ContentStore, StartedRemoval};
use crate::store::error::StoreError;
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

/// Number of files that are removed at a time, so that a large purge does not occupy a thread for long.
const FILES_PER_STEP: usize = 256;

impl Parts {
    /// Writes what waits to be written, and updates the gauges.
    pub(super) async fn tidy(&self) {
        // First, so that what is written has the addresses that other replicas have recorded.
        match self.identities.used_elsewhere().await {
            Ok(elsewhere) => self.last_used.merge(elsewhere),
            Err(error) => tracing::warn!(%error, "the last uses that other replicas have recorded could not be read"),
        }
        let used = self.last_used.take_unwritten();
        report("times and addresses of last use", self.identities.note_last_used(used).await);
        report("sums of refusals", self.audit.write_sums(Timestamp::now(), false).await);
        report("the file of audit events", self.audit.write_file().await);
        report("the removal of the oldest audit events", self.audit.prune().await);
        report("the reads of stored content", self.evictor.record().await);
        report("the pulls of images", self.record_pulls().await);
        report("who pulled images", self.record_pullers().await);
        report("the traffic of groups", self.record_traffic().await);
        report("the quotas of groups", self.trim_groups().await);
        report("room for new content", self.evictor.keep_headroom().await);
        report("the index", self.content.flush().await);
        let totals = self.files.usage().totals();
        metrics::gauge!("dependency_proxy_stored_bytes").set(totals.bytes as f64);
        metrics::gauge!("dependency_proxy_stored_blobs").set(totals.blobs as f64);
        metrics::gauge!("dependency_proxy_stored_manifests").set(totals.manifests as f64);
        let (files, expiring, directory) = (self.files.clone(), self.expiring.clone(), self.policy.directory());
        let disk = blocking(move || {
            files.close_removed();
            // Looks at every token.
            expiring.report(&directory, Timestamp::now());
            Ok((files.free()?, files.max_bytes()?))
        });
        if let Ok((free, maximum)) = disk.await {
            metrics::gauge!("dependency_proxy_free_bytes").set(free as f64);
            if let Some(maximum) = maximum {
                metrics::gauge!("dependency_proxy_max_stored_bytes").set(maximum as f64);
            }
        }
        report("the export or the journal of identities", self.identities.tidy().await);
    }

    /// Writes everything that waits to be written, for the end of the process.
    pub(super) async fn finish(&self) {
        self.tidy().await;
        report("sums of refusals", self.audit.write_sums(Timestamp::now(), true).await);
        report("the file of audit events", self.audit.write_file().await);
        report("the identities and their export", self.identities.finish().await);
        report("the end of the index", self.content.close(deadlines::CLOSE).await);
    }

    /// Removes everything that a group has cached. Returns the number of contents that no other group had a link to.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. The purge is then repeated by [`Self::purge_deleted`].
    pub(super) async fn purge(&self, group: GroupId) -> Result<usize, StoreError> {
        // The links go first: from then on no request of the group can open the content, whatever fails after that.
        let orphans = self.content.remove_links(group).await?;
        self.forget_links(group);
        self.remove_orphans(&orphans).await?;
        self.content.end_purge(group).await?;
        // Links that pulls added meanwhile were removed, too.
        self.forget_links(group);
        Ok(orphans.len())
    }

    /// Writes the pulls of images. Those that cannot be written stay in memory.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn record_pulls(&self) -> Result<(), StoreError> {
        let pulls = self.pulls.take();
        let recorded = self.content.record_pulls(pulls.clone()).await;
        if recorded.is_err() {
            self.pulls.put_back(pulls);
        }
        recorded
    }

    /// Writes who pulled images. What cannot be written stays in memory.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    async fn record_pullers(&self) -> Result<(), StoreError> {
        let records = self.pull_records.take();
        let max_bytes = self.pull_records.options().max_pull_bytes;
        match self.content.record_pullers(records.clone(), max_bytes).await {
            Ok(dropped) => {
                pull_records::note_dropped(dropped);
                Ok(())
            }
            Err(error) => {
                self.pull_records.put_back(records);
                Err(error)
            }
        }
    }

    /// Removes records of who pulled that are older than the settings allow.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn forget_old_pullers(&self, now: Timestamp) -> Result<(), StoreError> {
        let days = self.pull_records.options().pull_days;
        self.content.forget_pullers_before(Day::of(now).first_of(days)).await
    }

    /// Adds the traffic of groups to that of the present hour. What cannot be written stays in memory.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    async fn record_traffic(&self) -> Result<(), StoreError> {
        let counts = self.traffic.take();
        let recorded = self.traffic_records.add(Hour::of(Timestamp::now()), counts.clone()).await;
        if recorded.is_err() {
            self.traffic.put_back(counts);
        }
        recorded
    }

    /// Removes traffic that is older than [`TRAFFIC_HOURS`].
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn forget_old_traffic(&self, now: Timestamp) -> Result<(), StoreError> {
        self.traffic_records.forget_before(Hour::of(now).before(TRAFFIC_HOURS)).await
    }

    /// Completes the removals of images that are recorded: removes the links that no image needs any more, and the
    /// content to which no group has a link.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; what is left is completed by the next call.
    pub(super) async fn complete_removals(&self) -> Result<(), StoreError> {
        // One run at a time: each completes what it finds.
        let _running = self.completing.lock().await;
        let mut completed = Ok(());
        for removal in self.content.removals().await? {
            // One that fails does not prevent the others.
            completed = completed.and(self.complete_removal(removal).await);
        }
        completed
    }

    async fn complete_removal(&self, removal: StartedRemoval) -> Result<(), StoreError> {
        let orphans = self.content.remove_links_of(&removal).await?;
        self.forget_links(removal.group);
        self.remove_orphans(&orphans).await?;
        self.content.end_removal(removal).await
    }

    /// Drops the links of a group from memory, after some were removed from the store.
    pub(super) fn forget_links(&self, group: GroupId) {
        self.manifests.forget_group(group);
        self.blobs.forget_group(group);
    }

    /// Removes content to which no group has a link, in small steps.
    pub(super) async fn remove_orphans(&self, orphans: &[Digest]) -> Result<(), StoreError> {
        for digests in orphans.chunks(FILES_PER_STEP) {
            self.remove_content(digests.to_vec()).await?;
        }
        Ok(())
    }

    /// Removes the manifests and blobs with these digests, except those to which a group got a link meanwhile.
    async fn remove_content(&self, digests: Vec<Digest>) -> Result<(), StoreError> {
        let unlinked = self.content.remove_manifests(digests).await?;
        self.manifests.forget_manifests(&unlinked);
        let files = self.files.clone();
        blocking(move || unlinked.iter().try_for_each(|digest| files.remove(digest).map(drop))).await
    }

    /// Purges the groups that are deleted or marked for a purge, but still have cached content: the process may
    /// have been killed during their purge, or a pull ended after it.
    ///
    /// # Errors
    ///
    /// Fails if the store fails; the remaining groups are left for the next call.
    pub(super) async fn purge_deleted(&self) -> Result<(), StoreError> {
        let groups = self.content.groups().await?;
        let directory = self.policy.directory();
        for (group, _) in groups.into_iter().filter(|(group, marked)| *marked || directory.group(*group).is_none()) {
            self.purge(group).await?;
        }
        Ok(())
    }

    /// Removes old tombstones, and forgets old addresses of last use, and the last uses of deleted credentials.
    pub(super) async fn forget_old_tokens(&self) {
        let max = self.max_tombstones;
        let expire = move |directory: &_| {
            let (writes, value) = retention::expire(directory, max, Timestamp::now())?;
            let origin =
                ChangeOrigin { author: Author::local(Who::Service), message: "ended tokens removed for their age" };
            Ok::<_, CommandError>(Edited { writes, origin, value })
        };
        if let Err(error) = self.policy.change(expire).await {
            tracing::warn!(?error, "old tombstones and revoked tokens could not be forgotten");
        }
        self.last_used.forget_old_addresses(Timestamp::now());
        let gone = self.last_used.gone(|| self.policy.directory());
        let forgotten = self.identities.forget_last_used(gone.clone()).await;
        if forgotten.is_ok() {
            self.last_used.forget(&gone);
        }
        report("the end of deleted credentials' times of last use", forgotten);
    }

    /// Compares the records of stored files with the files, which may have changed while no process was running.
    pub(super) async fn reconcile(&self) {
        match self.content.reconcile(self.files.clone()).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "the records of stored files were corrected"),
            Err(error) => tracing::warn!(%error, "the records of stored files could not be compared with the files"),
        }
    }

    /// Removes what killed processes have left half-written.
    pub(super) async fn remove_leftovers(&self) {
        let leftovers = self.leftovers.clone();
        match blocking(move || Ok(leftovers.remove()?)).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed what killed processes had left half-written"),
            Err(error) => tracing::warn!(%error, "what killed processes left half-written could not all be removed"),
        }
    }
}

/// Logs a failure. The same work is tried again at the next interval, or by the next start.
pub(super) fn report(what: &'static str, outcome: Result<(), StoreError>) {
    match outcome {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => tracing::warn!(%error, "{what} could not be written"),
    }
}
