//! The move of cached content of this machine to the index and the bucket of a fleet.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Bucket;
use super::claims::Claims;
use super::content_events;
use super::database::Database;
use super::followed::FollowedContent;
use super::moving::{MovedIn, Moving};
use super::objects::Objects;
use super::uploads::{COMPARED_AT_ONCE, Uploader};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupId, ReplicaId};
use crate::store::blobs::BlobFiles;
use crate::store::blocking::blocking;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::StoreError;

/// The content of a folder that no service has open.
pub struct ContentToMove {
    uploader: Uploader,
    database: Database,
}

/// Stored content that is to be uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingContent {
    /// The content, with its length in bytes.
    pub missing: Vec<(Digest, u64)>,
    /// Number of contents that the bucket has already.
    pub there: u64,
}

/// Number of links that are read before they are put into the index.
const LINKS_AT_ONCE: usize = 10_000;

impl ContentToMove {
    /// Describes the content of these stores.
    pub fn new((database, bucket): (Database, Bucket), content: Arc<EmbeddedContent>, files: BlobFiles) -> Self {
        let objects = Objects::new(database.clone());
        // It claims nothing: nobody else uploads content of a folder that no service has open.
        let claims = Claims::new(database.clone(), ReplicaId::from_random(crate::auth::random::bytes()));
        Self { uploader: Uploader { bucket, objects, claims, files, content }, database }
    }

    /// Puts the links, images and tags of all groups into the index. Calls `pace` with the numbers of links and images.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a file cannot be read.
    pub async fn move_index(&self, moving: &mut Moving, pace: &dyn Fn(u64, u64)) -> Result<(u64, u64), StoreError> {
        // The times of pulls are in the database of the index, which must have been compared with the files.
        self.read(|content| content.index().check_against_files()).await?;
        let (mut links, mut images) = (0, 0);
        for group in self.read(|content| content.index().groups()).await? {
            links += self.move_links(moving, group).await?;
            let of_group = self.read(move |content| content.index().images_to_move(group)).await?;
            images += of_group.len() as u64;
            moving.put_images(&of_group).await?;
            pace(links, images);
        }
        Ok((links, images))
    }

    async fn move_links(&self, moving: &mut Moving, group: GroupId) -> Result<u64, StoreError> {
        let (mut moved, mut gathered) = (0, Vec::new());
        for path in self.read(move |content| content.index().files_of_links(group)).await? {
            gathered.extend(self.read(move |content| content.index().granted_links(group, &path)).await?);
            if gathered.len() >= LINKS_AT_ONCE {
                moved += gathered.len() as u64;
                moving.put_links(group, std::mem::take(&mut gathered)).await?;
            }
        }
        moved += gathered.len() as u64;
        moving.put_links(group, gathered).await?;
        Ok(moved)
    }

    /// Returns the stored content that the bucket lacks, and to which a group has a link.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a folder cannot be read.
    pub async fn missing(&self) -> Result<MissingContent, StoreError> {
        let mut found = MissingContent::default();
        for digests in self.uploader.stored().await?.chunks(COMPARED_AT_ONCE) {
            found.there += self.uploader.objects.sizes(digests).await?.len() as u64;
            let contents = self.uploader.ages(digests.to_vec()).await?;
            for digest in self.uploader.objects.lacking(&contents).await? {
                found.missing.push((digest, self.uploader.length(&digest).await?));
            }
        }
        Ok(found)
    }

    /// Uploads stored content.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. [`StoreError::Damaged`]: the file has other content.
    pub async fn upload(&self, digest: &Digest) -> Result<(), StoreError> {
        self.uploader.upload_unclaimed(digest).await
    }

    /// Marks the cache folder as that of a replica of this fleet, in this file, unless it is one already: the replica
    /// does not begin with an empty index then. What others have changed since the move it carries out at its start.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or the file cannot be written.
    pub async fn mark(&self, file: &Path, moved: &MovedIn) -> Result<(), StoreError> {
        let (fleet, last) = content_events::mark_of(&self.database, moved.content_event).await?;
        if FollowedContent::read(file)?.is_some_and(|followed| followed.fleet == fleet) {
            return Ok(());
        }
        FollowedContent { fleet, last }.write(file)
    }

    /// Writes what waits in memory of the index.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub async fn close(&self, max_wait: Duration) -> Result<(), StoreError> {
        self.read(move |content| content.close(max_wait)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&EmbeddedContent) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let content = self.uploader.content.clone();
        blocking(move || read(&content)).await
    }
}
