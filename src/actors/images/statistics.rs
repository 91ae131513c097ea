//! Figures of the whole cache: totals of groups, traffic, sizes, downloads, and problems for the operator.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{GroupTotals, Images, ImagesError, KnownTotals, RunningDownload};
use crate::actors::engine_states;
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, Traffic};
use crate::store::blocking::blocking;
use crate::store::usage::Totals;

/// Sizes of the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSizes {
    /// Stored content, each once.
    pub stored: Totals,
    /// Maximum of its bytes; `None`: no maximum.
    pub max_bytes: Option<u64>,
    /// Free bytes on the file system of the cache.
    pub free_bytes: u64,
}

impl Images {
    /// Returns what each group has cached; `None` if that is unknown because the index is damaged.
    /// After a start it waits until they are counted, which may take seconds.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn totals(&self) -> Result<Option<HashMap<GroupId, GroupTotals>>, ImagesError> {
        let content = self.content.clone();
        self.readers.run(None, async move { content.totals().await }).await
    }

    /// Returns what each group has cached as far as that is known, without waiting for it to be counted.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn known_totals(&self) -> Result<KnownTotals, ImagesError> {
        let content = self.content.clone();
        self.readers.run(None, async move { content.known_totals().await }).await
    }

    /// Returns those of the last `hours` in which a group, or any, had traffic, the earliest first. The last seconds
    /// are not in it yet.
    ///
    /// # Errors
    ///
    /// Fails if the index cannot be read, or if too many others read it.
    pub async fn traffic(
        &self,
        group: Option<GroupId>,
        hours: u32,
        now: Timestamp,
    ) -> Result<Vec<(Hour, Traffic)>, ImagesError> {
        // The present hour is one of them.
        let (traffic, since) = (self.traffic.clone(), Hour::of(now).before(hours.saturating_sub(1)));
        self.readers.run(group, async move { traffic.since(group, since).await }).await
    }

    /// Returns the sizes of the whole store.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub async fn sizes(&self) -> Result<StoreSizes, ImagesError> {
        let files = self.files.clone();
        let sizes = move || {
            let stored = files.usage().totals();
            Ok(StoreSizes { stored, max_bytes: files.max_bytes()?, free_bytes: files.free()? })
        };
        Ok(blocking(sizes).await?)
    }

    /// Returns the downloads that are under way.
    pub async fn downloads(&self) -> Vec<RunningDownload> {
        self.blobs.downloads().await
    }

    /// Returns what an operator should do something about, a sentence each.
    pub async fn problems(&self) -> Vec<String> {
        let files = self.files.clone();
        let disk = blocking(move || {
            let space = files.free_space();
            let (left, free) = (space.left()?, space.free()?);
            let (folder, min_free) = (space.folder().display(), space.min_free());
            Ok((left == 0).then(|| {
                format!(
                    "the disk of the cache is full: {free} bytes are free in {folder}, and the setting storage.min_free keeps \
                     {min_free} free, so that images are passed on without being stored"
                )
            }))
        });
        let disk = disk.await.unwrap_or_else(|error| Some(format!("the disk of the cache cannot be read: {error}")));
        let index = match self.known_totals().await {
            // What the others that read it get says whether they can.
            Ok(KnownTotals::All(_) | KnownTotals::NotYet) | Err(ImagesError::Busy) => None,
            Ok(KnownTotals::Damaged) => {
                Some("the index of the cache is damaged: it is rebuilt at the next start".to_owned())
            }
            Err(error) => Some(format!("the index of the cache cannot be read: {error}")),
        };
        disk.into_iter().chain(index).chain(engine_states::problems()).collect()
    }
}
