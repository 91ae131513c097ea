//! The blocking half of a download: the growing file and the hash of its bytes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinError;

use super::context::DownloadContext;
use super::hashing::{Hashes, Hashing, length};
use super::progress::End;
use super::upstream::BlobKey;
use crate::auth::sha256::Hasher;
use crate::domain::download::{Expected, Limits, Unstored};
use crate::store::blocking::spawn_blocking;
use crate::store::error::StoreError;
use crate::store::spool::SpoolFile;
use crate::store::usage::Spooled;

/// Number of bytes that are reserved at once, if the blob is known to be that long.
const RESERVED_BYTES: u64 = 4 * 1024 * 1024;

/// The file of one download, and the hash of the bytes written to it.
pub(super) struct Writer {
    shared: Arc<DownloadContext>,
    pub(super) spooled: SpoolFile,
    hashing: Hashing,
    /// True after a failed write, whose batch is hashed and not in the file.
    is_failed: bool,
    /// Number of bytes written so far.
    written: u64,
    /// Number of bytes, from the first, for which there is space. They count against the quota.
    reserved: u64,
    counted: Spooled,
}

impl Writer {
    /// Creates an empty file for a blob of this length, if it is known, and returns it with the limits of its length.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// Fails with [`End::Unstored`] if the store cannot create a file.
    pub(super) fn new(
        shared: &Arc<DownloadContext>,
        key: &BlobKey,
        expected: Expected,
        group_quota: Option<u64>,
    ) -> Result<(Limits, Self), End> {
        let expected = expected.verified.or(expected.claimed).unwrap_or(0);
        // What is stored already can be evicted for it.
        let begun = shared.files.room_for_one().and_then(|free_space| Ok((free_space, shared.spool.create()?)));
        let (free_space, spooled) = match begun {
            Ok(begun) => begun,
            // A failure of the store does not fail the pull.
            Err(error) => {
                shared.unstored.report(unstored(&error), Some((&key.origin, &key.digest)));
                return Err(End::Unstored);
            }
        };
        // Of several downloads at once, only those begin that fit together. One that does not fit is not counted,
        // because the length that a manifest states may be invented.
        let counted = shared.files.usage().spool(if expected <= free_space { expected } else { 0 });
        let limits = Limits { max_length: shared.options.max_blob_bytes, group_quota, free_space };
        let (hashing, is_failed, written, reserved) = Default::default();
        Ok((limits, Self { shared: Arc::clone(shared), spooled, hashing, is_failed, written, reserved, counted }))
    }

    /// Writes a batch, and hashes it at the same time or later. `whole` is the length of the whole blob, if it is
    /// known. After a failed write, the hash is that of the batches before it, and nothing more can be written.
    ///
    /// # Errors
    ///
    /// Fails if a blocking task was lost. A failed write is the inner result.
    pub(super) async fn store(
        mut self,
        batch: Vec<Bytes>,
        whole: Option<u64>,
    ) -> Result<(Self, Result<(), StoreError>), JoinError> {
        let batch = Arc::new(batch);
        let end = self.written + length(&batch) as u64;
        if end > self.reserved && self.shared.files.room_left().is_ok_and(|room| room < end - self.reserved) {
            // A failure shows again when the batch is written.
            drop(self.shared.evictor.make_room(end - self.reserved).await);
        }
        self.hashing.add(Arc::clone(&batch)).await?;
        spawn_blocking(move || {
            let written = self.write(&batch, whole);
            self.is_failed = written.is_err();
            (self, written)
        })
        .await
    }

    /// Returns the hash of all bytes that are in the file.
    ///
    /// # Errors
    ///
    /// Fails if a blocking task was lost.
    pub(super) async fn hash(&mut self) -> Result<Hasher, JoinError> {
        let Hashes { whole, before_last } = self.hashing.finish().await?;
        Ok(if self.is_failed { before_last } else { whole })
    }

    /// Returns the file, whose bytes are not counted as those of a download any more.
    pub(super) fn into_spooled(self) -> SpoolFile {
        self.spooled
    }

    fn write(&mut self, batch: &[Bytes], whole: Option<u64>) -> Result<(), StoreError> {
        let end = self.written + length(batch) as u64;
        if end > self.reserved {
            self.reserve(end, whole)?;
        }
        let mut offset = self.written;
        for bytes in batch {
            self.spooled.write_at(offset, bytes)?;
            offset += bytes.len() as u64;
        }
        self.written = end;
        Ok(())
    }

    /// Makes sure that the bytes up to `end` fit, and some more if the blob is longer and they fit, too.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if they do not fit: other downloads may have used the space since the start.
    fn reserve(&mut self, end: u64, whole: Option<u64>) -> Result<(), StoreError> {
        let room_end = self.reserved.saturating_add(self.shared.files.room_left()?);
        if room_end < end {
            return Err(StoreError::Full);
        }
        let ahead = whole.unwrap_or(0).min(self.reserved + RESERVED_BYTES).min(room_end);
        if ahead > end {
            self.spooled.allocate(self.written..ahead);
        }
        let reserved = ahead.max(end);
        self.counted.add(reserved - self.reserved);
        self.reserved = reserved;
        Ok(())
    }
}

/// Converts an error of the store to the reason why a blob is not stored.
pub(super) fn unstored(error: &StoreError) -> Unstored {
    match error {
        StoreError::Full => Unstored::NoSpace,
        StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed | StoreError::Fleet(_) => {
            tracing::debug!(%error, "the store cannot take a blob");
            Unstored::StoreFailed
        }
    }
}
