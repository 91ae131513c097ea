//! The handle of the [`Janitor`].

use actix::prelude::*;

use super::actor::Janitor;
use super::parts::Parts;
use super::tasks::report;
use super::{CompleteRemovals, Finish, Holdings, Purge};
use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;

/// Handle of the [`Janitor`].
#[derive(Clone)]
pub struct JanitorHandle {
    actor: Addr<Janitor>,
    content: ContentStore,
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
}

impl JanitorHandle {
    /// Starts the actor on this arbiter.
    pub fn start(parts: Parts, arbiter: &ArbiterHandle) -> Self {
        let (content, manifests, blobs) = (parts.content.clone(), parts.manifests.clone(), parts.blobs.clone());
        let janitor = Janitor::new(parts);
        Self { actor: Janitor::start_in_arbiter(arbiter, |_| janitor), content, manifests, blobs }
    }

    /// Removes everything that this group has cached: first its links and tags, then the files that no other group has
    /// a link to. Returns once the purge is recorded on disk, so that it also happens if the process ends before.
    ///
    /// # Errors
    ///
    /// Fails if the database of a fleet cannot be reached. Some of it may be removed.
    pub async fn purge(&self, group: GroupId) -> Result<(), StoreError> {
        let event = self.content.purge_shared(group).await?;
        self.purge_here(group).await;
        self.content.purged_here(event);
        Ok(())
    }

    /// Works as [`Self::purge`], for what this replica has cached.
    pub async fn purge_here(&self, group: GroupId) {
        report("the note of a purge", self.content.mark_purged(group).await);
        self.actor.do_send(Purge(group));
    }

    /// Removes images of one origin from a group, and then in the background what only they name. Returns once the
    /// removal is recorded on disk and the next pull of each image makes a request to upstream.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. Some of the images may be removed.
    pub async fn remove_images(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
    ) -> Result<(), StoreError> {
        let removed = self.content.remove_images(group, origin, references, None).await;
        self.complete_removal(group);
        removed.map(drop)
    }

    /// Works as [`Self::remove_images`], for those that are not pinned and that nobody has pulled at any replica for
    /// this number of days. Returns their number; 0 without a fleet.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. Some of the images may be removed.
    pub async fn remove_unpulled(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
        days: u32,
    ) -> Result<usize, StoreError> {
        let removed = self.content.remove_unpulled(group, origin, references, days).await;
        self.complete_removal(group);
        removed
    }

    /// Works as [`Self::remove_images`], for what this replica has cached.
    ///
    /// # Errors
    ///
    /// Fails if the store fails. Some of the images may be removed.
    pub async fn remove_images_here(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
    ) -> Result<(), StoreError> {
        let removed = self.content.remove_images_here(group, origin, references).await;
        self.complete_removal(group);
        removed
    }

    /// Drops the links of a group from memory after a removal, and completes it in the background.
    pub fn complete_removal(&self, group: GroupId) {
        self.manifests.forget_group(group);
        self.blobs.forget_group(group);
        self.actor.do_send(CompleteRemovals);
    }

    /// Returns what these groups have cached, added up. Returns `None`, and logs the reason, if the index
    /// cannot be read.
    pub async fn holdings(&self, groups: Vec<GroupId>) -> Option<Holdings> {
        let holdings = self.content.holdings(groups).await;
        holdings.inspect_err(|error| tracing::warn!(%error, "what groups have cached could not be counted")).ok()
    }

    /// Waits for the blobs that are being stored, then writes everything that waits to be written. Called at shutdown.
    pub async fn finish(&self) {
        self.blobs.finish().await;
        if self.actor.send(Finish).await.is_err() {
            tracing::warn!("the last changes and times of last use may not have been written");
        }
    }
}
