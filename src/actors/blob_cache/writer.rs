//! The blocking half of a download: the growing file and the hash of its bytes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinError;

use super::context::DownloadContext;
use super::progress::End;
use super::upstream::BlobKey;
use crate::auth::sha256::Hasher;
use crate::domain::download::{Expected, Limits, Unstored};
use crate::store::blocking::spawn_blocking;
use crate::store::error::StoreError;
use crate::store::spool::SpoolFile;
use crate::store::usage::Spooled;

/// The file of one download, and the hash of the bytes written to it.
pub(super) struct Writer {
    shared: Arc<DownloadContext>,
    pub(super) spooled: SpoolFile,
    /// Hash of the bytes written so far.
    pub(super) hasher: Hasher,
    /// Number of bytes written so far.
    written: u64,
    /// Counts these bytes against the quota.
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
        // Of several downloads at once, only those begin that fit together. One that does not fit counts for nothing:
        // its length may be a manifest's invention.
        let counted = shared.files.usage().spool(if expected <= free_space { expected } else { 0 });
        let limits = Limits { max_length: shared.options.max_blob_bytes, group_quota, free_space };
        Ok((limits, Self { shared: Arc::clone(shared), spooled, hasher: Hasher::default(), written: 0, counted }))
    }

    /// Writes and hashes a batch, both at the same time. After a failed write the hash and the count are the old ones.
    ///
    /// # Errors
    ///
    /// Fails if a blocking task was lost. A failed write is the inner result.
    pub(super) async fn store(mut self, batch: Vec<Bytes>) -> Result<(Self, Result<(), StoreError>), JoinError> {
        if self.lacks_room(&batch) {
            // A failure shows again when the batch is written.
            drop(self.shared.evictor.make_room(length(&batch)).await);
        }
        let batch = Arc::new(batch);
        let (mut hasher, hashed) = (self.hasher.clone(), Arc::clone(&batch));
        let hashing = spawn_blocking(move || {
            hashed.iter().for_each(|bytes| hasher.update(bytes));
            hasher
        });
        let writing = spawn_blocking(move || {
            let written = self.write(&batch);
            (self, written)
        });
        let ((mut writer, written), hasher) = tokio::try_join!(writing, hashing)?;
        if written.is_ok() {
            writer.hasher = hasher;
        }
        Ok((writer, written))
    }

    /// Returns the file, whose bytes are not counted as those of a download any more.
    pub(super) fn into_spooled(self) -> SpoolFile {
        self.spooled
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<(), StoreError> {
        self.check_room(batch)?;
        let mut offset = self.written;
        for bytes in batch {
            self.spooled.write_at(offset, bytes)?;
            offset += bytes.len() as u64;
        }
        self.counted.add(offset - self.written);
        self.written = offset;
        Ok(())
    }

    /// Fails with [`StoreError::Full`] if the batch does not fit: other downloads may have used the space
    /// since the start.
    fn check_room(&self, batch: &[Bytes]) -> Result<(), StoreError> {
        if self.shared.files.room_left()? < length(batch) { Err(StoreError::Full) } else { Ok(()) }
    }

    /// Returns true if the batch does not fit. Asks the kernel for the free space, which does not wait for the disk.
    fn lacks_room(&self, batch: &[Bytes]) -> bool {
        self.check_room(batch).is_err()
    }
}

fn length(batch: &[Bytes]) -> u64 {
    batch.iter().map(|bytes| bytes.len() as u64).sum()
}

/// Converts an error of the store to the reason why a blob is not stored.
pub(super) fn unstored(error: &StoreError) -> Unstored {
    match error {
        StoreError::Full => Unstored::NoSpace,
        StoreError::Io(_) | StoreError::Damaged(_) => {
            tracing::debug!(%error, "the store cannot take a blob");
            Unstored::StoreFailed
        }
    }
}
