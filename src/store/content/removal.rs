//! Operations that remove images, and links that nobody needs.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{ContentStore, RemovedLinks, StartedRemoval};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::fleet::RemovedImages;

impl ContentStore {
    /// Removes images of one origin from a group: the first step of a removal. From now on they are not listed, and the
    /// next pull of each makes a request to upstream. With `unpulled_since`, images that were pulled since then or are
    /// pinned stay; of a fleet, they go from this replica alone. Returns the removal, for the other steps.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, written or removed, or if the database of a fleet cannot be reached.
    pub async fn remove_images(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
        unpulled_since: Option<Timestamp>,
    ) -> Result<StartedRemoval, StoreError> {
        let shared = self.shared().filter(|_| unpulled_since.is_none()).cloned();
        let event = match &shared {
            Some(shared) => Some(shared.remove_images(group, &origin, &references).await?),
            None => None,
        };
        let replica = self.shared().cloned();
        self.run(move |content| {
            replica.inspect(|replica| replica.note_removal());
            let (note, removal) = content.remove_images(group, &origin, references, unpulled_since)?;
            if let (Some(shared), Some(event)) = (shared, event) {
                shared.note_done(event);
            }
            Ok(StartedRemoval { group, note, removal })
        })
        .await
    }

    /// Removes those of these images of a fleet that are not pinned, and that nobody has pulled at any replica for this
    /// number of days, from all replicas: the first step of a removal. Returns their number; 0 without a fleet.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::remove_images`] does.
    pub async fn remove_unpulled(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
        days: u32,
    ) -> Result<usize, StoreError> {
        let Some(shared) = self.shared() else { return Ok(0) };
        let RemovedImages { event, references } = shared.remove_unpulled(group, &origin, references, days).await?;
        let removed = references.len();
        if removed > 0 {
            self.remove_images_here(group, origin, references).await?;
            shared.note_done(event);
        }
        Ok(removed)
    }

    /// Returns the removals that are not complete.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or removed.
    pub async fn removals(&self) -> Result<Vec<StartedRemoval>, StoreError> {
        self.run(|content| content.started_removals()).await
    }

    /// Removes the links of a removal, unless other images of the group name the content. Returns the digests that no
    /// group can read any more.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub async fn remove_links_of(&self, removal: &StartedRemoval) -> Result<Vec<Digest>, StoreError> {
        let (group, removal) = (removal.group, removal.removal.clone());
        self.run(move |content| content.remove_links_of(group, &removal)).await
    }

    /// Removes the note of a removal: its last step.
    ///
    /// # Errors
    ///
    /// Fails if the note cannot be removed.
    pub async fn end_removal(&self, removal: StartedRemoval) -> Result<(), StoreError> {
        self.run(move |content| content.index().end_removal(removal.group, &removal.note)).await
    }

    /// Removes links of groups, so that each holds at least that number of bytes less. What is pinned in the group
    /// stays. Tags stay, too. Returns the digests that no group can read any more.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub async fn trim(&self, surplus: HashMap<GroupId, u64>) -> Result<Vec<Digest>, StoreError> {
        self.run(move |content| content.trim(&surplus)).await
    }

    /// Returns the images of a group that were last pulled before this time and are not pinned, by origin. None while
    /// the times of pulls are unknown, because the index is damaged.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn unpulled(
        &self,
        group: GroupId,
        before: Timestamp,
    ) -> Result<Vec<(Origin, Vec<Reference>)>, StoreError> {
        self.run(move |content| content.unpulled(group, before)).await
    }

    /// Removes the links of these groups to content that no image names, and that nobody has read since the time beside
    /// the group: what a tag stood for before it moved. Returns the digests that no group can read any more.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub async fn remove_unread(&self, since: HashMap<GroupId, Timestamp>) -> Result<Vec<Digest>, StoreError> {
        self.run(move |content| content.remove_unread(&since)).await
    }

    /// Removes the granted links of a group to content that no image of it names, now or before its tag moved, and that
    /// nobody has read since this time: of images that were removed while their content was pulled, or that a tag stood
    /// for long ago. Removes none while the index is damaged. Reads the group's files of links.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written. Some links may be removed then.
    pub async fn remove_unnamed(&self, group: GroupId, before: Timestamp) -> Result<RemovedLinks, StoreError> {
        self.run(move |content| content.remove_unnamed(group, before)).await
    }

    /// Returns stored content to which no group has a link, and which nobody has read since this time.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn unlinked(&self, before: Timestamp) -> Result<Vec<Digest>, StoreError> {
        self.run(move |content| content.index().unlinked_files(before)).await
    }
}
