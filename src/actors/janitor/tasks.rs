//! The janitor's tasks: what is written, and what is forgotten for its age. The actor decides when they run.

use jiff::Timestamp;

use super::parts::Parts;
use crate::actors::policy_evaluator::Edited;
use crate::actors::pull_records;
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::audit::{Author, Who};
use crate::domain::commands::{CommandError, retention};
use crate::domain::deadlines;
use crate::domain::pull_record::Day;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS};
use crate::store::blocking::blocking;
use crate::store::error::StoreError;

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
