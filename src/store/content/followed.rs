//! Operations that carry out on this machine what other replicas of a fleet have done, and what follows from a start.

use super::ContentStore;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::error::StoreError;
use crate::store::images::{ImageKey, Pulls};

/// Number of records of who pulled that are shared at once at a start.
const RECORDS_AT_ONCE: usize = 1_000;

impl ContentStore {
    /// Carries out a removal of images that another replica has begun; see
    /// [`Self::remove_images`](Self::remove_images).
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, written or removed.
    pub async fn remove_images_here(
        &self,
        group: GroupId,
        origin: Origin,
        references: Vec<Reference>,
    ) -> Result<(), StoreError> {
        let shared = self.shared().cloned();
        self.run(move |content| {
            shared.inspect(|shared| shared.note_removal());
            content.remove_images(group, &origin, references, None).map(drop)
        })
        .await
    }

    /// Records that upstream refuses a tag, or does not have it any more, as another replica has found.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written or removed.
    pub async fn change_tag_here(&self, origin: Origin, tag: Tag, is_gone: bool) -> Result<(), StoreError> {
        self.run(move |content| match is_gone {
            true => content.index().drop_tag(&origin, &tag),
            false => content.index().deny_tag(&origin, &tag),
        })
        .await
    }

    /// Replaces the numbers of pulls of images by those of all replicas.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for it, and if the file system does not report its free
    /// space.
    pub async fn put_pulls_here(&self, mut images: Vec<(ImageKey, Pulls)>) -> Result<(), StoreError> {
        let Some(shared) = self.shared().cloned() else { return Ok(()) };
        self.run(move |content| {
            for (image, pulls) in &mut images {
                pulls.count += shared.waiting_pulls(image);
            }
            content.index().put_pulls(&images)
        })
        .await
    }

    /// Shares the records of who pulled that this machine has: those of before a move, and what was not shared before
    /// it was killed.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed, or if the database cannot be reached.
    pub async fn share_pull_records(&self) -> Result<(), StoreError> {
        let Some(shared) = self.shared() else { return Ok(()) };
        let mut last = None;
        loop {
            let after = last.clone();
            let records = self
                .run(move |content| Ok(content.index().stored_pull_records(after.as_ref(), RECORDS_AT_ONCE)))
                .await?;
            let Some(end) = records.last().cloned() else { return Ok(()) };
            shared.write_pull_records(records).await?;
            last = Some(end);
        }
    }

    /// Pins an image, or ends that, as another replica has.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub async fn pin_here(&self, image: ImageKey, pinned: bool) -> Result<(), StoreError> {
        self.run(move |content| content.index().pin(&image, pinned).map(drop)).await
    }
}
