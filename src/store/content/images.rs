//! Operations on the images of groups, and on what groups have cached.

use std::collections::HashMap;

use super::ContentStore;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::pull_record::{Day, PullRecord};
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::traffic::{Hour, Traffic};
use crate::store::blobs::BlobFiles;
use crate::store::embedded::index::StoredPullRecord;
use crate::store::error::StoreError;
use crate::store::images::{
    CachedImage, Earlier, GroupTotals, ImageKey, ImagePage, ImageParts, ImagePulls, ImageQuery, KnownTotals, PullKey,
    Pulls, PullsQuery,
};

impl ContentStore {
    /// Returns a part of the list of a group's images. Reads platforms that are not known yet from the blobs.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn images(&self, group: GroupId, query: ImageQuery, blobs: BlobFiles) -> Result<ImagePage, StoreError> {
        let page = self.run(move |content| content.images(group, &query, &blobs)).await?;
        Ok(ImagePage { images: self.with_bucket(page.images).await, ..page })
    }

    /// Returns a group's image with this tag or digest, once for each account with which it was pulled.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn image(
        &self,
        group: GroupId,
        upstream: UpstreamName,
        repository: Repository,
        reference: Reference,
        blobs: BlobFiles,
    ) -> Result<Vec<CachedImage>, StoreError> {
        let images = self.run(move |content| content.image(group, &upstream, &repository, &reference, &blobs)).await?;
        Ok(self.with_bucket(images).await)
    }

    /// Returns what each group has cached; `None` if that is unknown because the index is damaged. Takes seconds in the
    /// time after a start. In a fleet it is what groups have at all replicas together, unless the database does not
    /// respond.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn totals(&self) -> Result<Option<HashMap<GroupId, GroupTotals>>, StoreError> {
        match self.shared_totals().await {
            Some(totals) => Ok(Some(totals)),
            None => self.count_totals().await,
        }
    }

    /// Counts what each group has cached on this machine, if that was not done since the start.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn count_totals(&self) -> Result<Option<HashMap<GroupId, GroupTotals>>, StoreError> {
        self.run(|content| content.totals()).await
    }

    /// Returns what each group has cached as far as that is known, without counting; in a fleet, at all replicas
    /// together, unless the database does not respond.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed.
    pub async fn known_totals(&self) -> Result<KnownTotals, StoreError> {
        match self.shared_totals().await {
            Some(totals) => Ok(KnownTotals::All(totals)),
            None => self.run(|content| content.known_totals()).await,
        }
    }

    async fn shared_totals(&self) -> Option<HashMap<GroupId, GroupTotals>> {
        self.shared()?.totals().await
    }

    /// Records pulls of images.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for it, and if the file system does not report its free
    /// space.
    pub async fn record_pulls(&self, pulls: HashMap<ImageKey, Pulls>) -> Result<(), StoreError> {
        let noted = self.shared().map(|shared| (shared.clone(), pulls.clone()));
        self.run(move |content| content.index().record_pulls(&pulls)).await?;
        if let Some((shared, pulls)) = noted {
            shared.note_pulls(pulls);
        }
        Ok(())
    }

    /// Adds records of who pulled, within `max_bytes` for all of them. Returns the number of pulls that have no record
    /// any more, or get none, because there are too many.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for it, and if the file system does not report its free
    /// space.
    pub async fn record_pullers(&self, records: Vec<(PullKey, PullRecord)>, max_bytes: u64) -> Result<u64, StoreError> {
        let added = self.run(move |content| content.index().add_pull_records(&records, max_bytes)).await?;
        if let Some(shared) = self.shared() {
            shared.note_pull_records(added.sums);
        }
        Ok(added.dropped)
    }

    /// Returns a part of the records of who pulled an image; nothing if the index is damaged. In a fleet, at all
    /// replicas together, unless the database does not respond.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed.
    pub async fn pullers(&self, query: PullsQuery) -> Result<ImagePulls, StoreError> {
        if let Some(shared) = self.shared()
            && let Some(pulls) = shared.pull_records(StoredPullRecord::image_of(&query), &query).await
        {
            return Ok(pulls);
        }
        self.run(move |content| Ok(content.index().pull_records(&query))).await
    }

    /// Removes the records of who pulled before a day.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed, or if the database of a fleet cannot be reached.
    pub async fn forget_pullers_before(&self, day: Day) -> Result<(), StoreError> {
        if let Some(shared) = self.shared() {
            shared.forget_pull_records_before(day).await?;
        }
        self.run(move |content| {
            content.index().forget_pull_records_before(day);
            Ok(())
        })
        .await
    }

    /// Adds what these groups had in an hour.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for it, and if the file system does not report its free
    /// space.
    pub async fn record_traffic(&self, hour: Hour, of_groups: Vec<(GroupId, Traffic)>) -> Result<(), StoreError> {
        self.run(move |content| content.index().add_traffic(hour, &of_groups)).await
    }

    /// Returns the hours from `since` on in which a group, or any, had traffic, the earliest first; nothing if the
    /// index is damaged.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed.
    pub async fn traffic(&self, group: Option<GroupId>, since: Hour) -> Result<Vec<(Hour, Traffic)>, StoreError> {
        self.run(move |content| Ok(content.index().traffic(group, since))).await
    }

    /// Removes the traffic of all groups before an hour.
    ///
    /// # Errors
    ///
    /// Fails if the store is closed.
    pub async fn forget_traffic_before(&self, hour: Hour) -> Result<(), StoreError> {
        self.run(move |content| {
            content.index().forget_traffic_before(hour);
            Ok(())
        })
        .await
    }

    /// Returns what a tag of a group stood for before it moved, the oldest first; nothing for a digest.
    ///
    /// # Errors
    ///
    /// Fails if the image's file cannot be read because the process lacks open files or memory.
    pub async fn earlier(&self, image: ImageKey) -> Result<Vec<Earlier>, StoreError> {
        self.run(move |content| content.index().earlier(&image)).await
    }

    /// Returns the parts of an image with this digest. Reads its manifests and configurations.
    ///
    /// # Errors
    ///
    /// Fails if a manifest cannot be read.
    pub async fn parts(&self, image: ImageKey, digest: Digest, blobs: BlobFiles) -> Result<ImageParts, StoreError> {
        self.run(move |content| content.parts(&image, digest, &blobs)).await
    }

    /// Returns the number of bytes of all pinned images of all groups and of this manifest or index, each content once.
    /// Content that is not stored counts only for this one, with the length that its manifests claim for it.
    ///
    /// # Errors
    ///
    /// Fails if the index or a manifest cannot be read.
    pub async fn pinned_bytes_with(&self, image: Digest) -> Result<u64, StoreError> {
        self.run(move |content| content.pinned_bytes_with(&image)).await
    }

    /// Pins an image, or ends that. Returns false if the group has no such image.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written, or if the database of a fleet cannot be reached.
    pub async fn pin(&self, image: ImageKey, pinned: bool) -> Result<bool, StoreError> {
        if let Some(shared) = self.shared() {
            shared.pin(&image, pinned).await?;
        }
        self.run(move |content| content.index().pin(&image, pinned)).await
    }
}
