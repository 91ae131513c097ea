//! A pull of a tag that could not be revalidated: the stale manifest is served, unless upstream has decided otherwise.

use std::sync::Arc;

use super::Pull;
use crate::actors::cache_status::CacheStatus;
use crate::actors::manifest_cache::response::PulledManifest;
use crate::actors::pull_failure::Cause;
use crate::store::link::TagEntry;
use crate::store::manifests::Manifest;

impl Pull<'_> {
    /// Serves a stored manifest whose tag could not be revalidated for this cause. `recorded`: the group has an image
    /// of the tag.
    ///
    /// # Errors
    ///
    /// Fails if the cause is decisive, or if there is no memory.
    pub(super) async fn stale(
        &self,
        manifest: Arc<Manifest>,
        tag: Option<TagEntry>,
        recorded: bool,
        cause: Cause,
    ) -> Result<PulledManifest, Cause> {
        let cause = self.tolerable(cause, tag).await?;
        if let Some(entry) = tag.filter(|_| !recorded) {
            self.cache.record_tag(self.request, entry, &manifest).await;
        }
        let leased = self.cache.leased(self.request.group, manifest).await?;
        let checked_at = tag.map(|entry| entry.checked_at);
        let (stale, cause) = (PulledManifest::new(leased, CacheStatus::Stale, checked_at), Arc::new(cause));
        self.cache.note_stale(self.request, Arc::clone(&cause));
        Ok(PulledManifest { stale_because: Some(cause), ..stale })
    }

    /// Returns the cause if a stale manifest may be served. Fails if it is decisive: upstream does not have the tag any
    /// more, or refuses it, or has done so before.
    async fn tolerable(&self, cause: Cause, tag: Option<TagEntry>) -> Result<Cause, Cause> {
        if matches!(cause, Cause::NotFound) {
            self.cache.drop_tag(self.request).await;
            return Err(cause);
        }
        if cause.is_denial() {
            self.cache.deny_tag(self.request).await;
            return Err(cause);
        }
        if tag.is_some_and(|entry| entry.denied) {
            return Err(Cause::Denied { message: None });
        }
        let is_accepted = |entry: TagEntry| entry.is_fresh(self.times.account_grace);
        if matches!(cause, Cause::AccountRefused) && !tag.is_some_and(is_accepted) {
            return Err(Cause::AccountGraceOver);
        }
        Ok(cause)
    }
}
