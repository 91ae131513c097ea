//! Images that groups have cached, with what only the caches in memory know of them: which are stale, and which are
//! being downloaded. No actor: reads the store, and leaves removals to the Janitor.
//!
//! | file | content |
//! |---|---|
//! | [`shown`] | an image with its state, and the states by which lists are filtered |
//! | [`statistics`] | totals, traffic and sizes of the whole cache, and its problems |
//! | [`readers`] | admission of requests that read much of the index |

mod readers;
mod shown;
mod statistics;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use self::readers::Readers;
use super::blob_cache::BlobCacheHandle;
use super::janitor::JanitorHandle;
use super::manifest_cache::{ManifestCacheHandle, PullManifest};
use super::pull_failure::Cause;
use super::traffic::TrafficRecords;
use crate::domain::digest::Digest;
use crate::domain::freshness::Freshness;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;

pub use self::shown::{ImageState, ShownImage, ShownPage, StateFilter, going_before};
pub use self::statistics::StoreSizes;
pub use super::blob_cache::RunningDownload;
pub use crate::store::error::StoreError;
pub use crate::store::images::{
    CachedImage, Earlier, GroupTotals, ImageKey, ImageOrder, ImageParts, ImagePulls, ImageQuery, KnownTotals,
    LayerPart, Only, PlatformPart, PullsQuery,
};

/// Handle for lists, pins and removals of cached images. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    content: ContentStore,
    files: BlobFiles,
    traffic: TrafficRecords,
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
    janitor: JanitorHandle,
    readers: Readers,
}

/// Maximum number of requests that read the index for lists, single images and sizes at once, three quarters of them
/// for one group.
const MAX_READERS: usize = 8;

/// Maximum time for which such a request waits for others to end.
const READER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reason why a request for images was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// Too many others read the index.
    #[error("too many lists of images are read at once")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reason why upstream did not confirm a tag, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRefreshed {
    /// Upstream does not have it any more.
    Gone(String),
    /// Upstream refuses it, or could not be reached.
    Failed(String),
}

/// Outcome of the pinning of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// It is pinned, or no longer, as was wanted.
    Done,
    /// The group has no such image any more.
    NotThere,
    /// The pinned images of all groups would take more than half of the maximum size of the cache.
    TooMuch,
}

impl Images {
    /// Returns the handle over these stores, caches and the Janitor.
    pub fn new(
        (content, files, traffic): (ContentStore, BlobFiles, TrafficRecords),
        manifests: ManifestCacheHandle,
        blobs: BlobCacheHandle,
        janitor: JanitorHandle,
    ) -> Self {
        let readers = Readers::new(MAX_READERS, READER_TIMEOUT);
        Self { content, files, traffic, manifests, blobs, janitor, readers }
    }

    /// Returns a part of the list of a group's images.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn list(&self, group: GroupId, query: ImageQuery) -> Result<ShownPage, ImagesError> {
        if query.only.as_ref().is_some_and(Only::is_none) {
            return Ok(ShownPage::default());
        }
        let (content, files) = (self.content.clone(), self.files.clone());
        let page = self.readers.run(Some(group), async move { content.images(group, query, files).await }).await?;
        Ok(ShownPage { images: self.shown(page.images).await, total: page.total })
    }

    /// Returns what selects the images of a state in a list. See [`going_before`] for the time.
    pub async fn only(&self, state: StateFilter, going_before: Option<Timestamp>) -> Only {
        match state {
            StateFilter::Stale => Only::Tags { tags: self.manifests.stale_tags(), pulled_since: going_before },
            StateFilter::Arriving => {
                let downloads = self.blobs.downloads().await;
                Only::Lacking(downloads.into_iter().map(|download| (download.origin, download.digest)).collect())
            }
            StateFilter::Going => going_before.map_or_else(Only::nothing, Only::UnpulledSince),
        }
    }

    /// Returns a group's image with this tag or digest, once for each account with which it was pulled.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn find(
        &self,
        group: GroupId,
        upstream: UpstreamName,
        repository: Repository,
        reference: Reference,
    ) -> Result<Vec<ShownImage>, ImagesError> {
        let (content, files) = (self.content.clone(), self.files.clone());
        let find = async move { content.image(group, upstream, repository, reference, files).await };
        Ok(self.shown(self.readers.run(Some(group), find).await?).await)
    }

    /// Returns what a tag stood for before it moved, the oldest first; nothing for a digest.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read.
    pub async fn earlier(&self, image: &CachedImage) -> Result<Vec<Earlier>, ImagesError> {
        Ok(self.content.earlier(image.key.clone()).await?)
    }

    /// Returns the parts of an image: its platforms and their layers.
    ///
    /// # Errors
    ///
    /// Fails if a manifest cannot be read, or if too many others read the index.
    pub async fn parts(&self, image: &CachedImage) -> Result<ImageParts, ImagesError> {
        let (content, files) = (self.content.clone(), self.files.clone());
        let (key, digest) = (image.key.clone(), image.digest);
        self.readers.run(Some(image.key.group), async move { content.parts(key, digest, files).await }).await
    }

    /// Has upstream confirm now what a tag stands for, and fetches the manifest if the tag has moved.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not have it, refuses it, or cannot be reached.
    pub async fn refresh(&self, image: &CachedImage) -> Result<(), NotRefreshed> {
        let ImageKey { group, origin, reference } = image.key.clone();
        let freshness = Freshness::default();
        let request = PullManifest { group, origin, reference, head: false, noted: false, freshness, on_demand: true };
        match self.manifests.pull(request).await.outcome {
            Ok(pulled) if pulled.stale_because.is_none() => Ok(()),
            Ok(_) => Err(NotRefreshed::Failed(self.stale_because(image).unwrap_or_default())),
            Err(failure) if matches!(failure.cause, Cause::NotFound | Cause::NoRepository) => {
                Err(NotRefreshed::Gone(failure.reason()))
            }
            Err(failure) => Err(NotRefreshed::Failed(failure.reason())),
        }
    }

    fn stale_because(&self, image: &CachedImage) -> Option<String> {
        match &image.key.reference {
            Reference::Tag(tag) => self.manifests.stale_because(&image.key.origin, tag),
            Reference::Digest(_) => None,
        }
    }

    /// Pins an image, or ends that.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or if too many others read the index.
    pub async fn pin(&self, image: &CachedImage, pinned: bool) -> Result<Pinned, ImagesError> {
        // What is pinned must leave space for what is pulled.
        if pinned
            && let Some(max) = self.sizes().await?.max_bytes
            && self.pinned_bytes_with(image).await? > max / 2
        {
            return Ok(Pinned::TooMuch);
        }
        let is_there = self.content.pin(image.key.clone(), pinned).await?;
        Ok(if is_there { Pinned::Done } else { Pinned::NotThere })
    }

    /// Removes an image from its group; see [`JanitorHandle::remove_images`].
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn remove(&self, image: &CachedImage) -> Result<(), ImagesError> {
        let key = image.key.clone();
        Ok(self.janitor.remove_images(key.group, key.origin, vec![key.reference]).await?)
    }

    /// Removes all images of a group that are not pinned. It goes on if the caller waits no longer.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or if too many others read the index. Some of the images may be removed.
    pub async fn remove_unpinned(&self, group: GroupId) -> Result<(), ImagesError> {
        let unpinned = ImageQuery { pinned: Some(false), limit: usize::MAX, ..ImageQuery::default() };
        let mut of_origins: HashMap<Origin, Vec<Reference>> = HashMap::new();
        for one in self.list(group, unpinned).await?.images {
            let ImageKey { origin, reference, .. } = one.image.key;
            of_origins.entry(origin).or_default().push(reference);
        }
        let janitor = self.janitor.clone();
        let removal = actix_rt::spawn(async move {
            for (origin, references) in of_origins {
                janitor.remove_images(group, origin, references).await?;
            }
            Ok::<(), StoreError>(())
        });
        Ok(removal.await.unwrap_or_else(|lost| Err(StoreError::Io(lost.to_string())))?)
    }

    /// Returns a part of the records of who pulled an image. The last seconds are not in it yet.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn pullers(&self, query: PullsQuery) -> Result<ImagePulls, ImagesError> {
        let content = self.content.clone();
        self.readers.run(Some(query.group), async move { content.pullers(query).await }).await
    }

    async fn pinned_bytes_with(&self, image: &CachedImage) -> Result<u64, ImagesError> {
        let (content, digest) = (self.content.clone(), image.digest);
        self.readers.run(Some(image.key.group), async move { content.pinned_bytes_with(digest).await }).await
    }

    async fn shown(&self, images: Vec<CachedImage>) -> Vec<ShownImage> {
        let incomplete = images.iter().any(|image| !image.is_complete);
        let downloads = if incomplete { self.blobs.downloads().await } else { Vec::new() };
        images.into_iter().map(|image| ShownImage { state: self.state(&image, &downloads), image }).collect()
    }

    fn state(&self, image: &CachedImage, downloads: &[RunningDownload]) -> ImageState {
        let is_missing = |digest: &Digest| image.absent.contains(digest);
        let (mut received, mut length, mut arriving) = (0, 0, false);
        for download in downloads.iter().filter(|one| one.origin == image.key.origin && is_missing(&one.digest)) {
            arriving = true;
            received += download.received;
            length += download.length.unwrap_or_default();
        }
        if arriving {
            return ImageState::Arriving { received, length };
        }
        match self.stale_because(image) {
            _ if !image.is_complete => ImageState::Incomplete,
            Some(because) => ImageState::Stale { because },
            None => ImageState::Fresh,
        }
    }
}
