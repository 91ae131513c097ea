//! The blocking half of a download: the growing file and the hash of what is in it. Knows nothing of upstream.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinError, spawn_blocking};

use super::progress::End;
use super::shared::Shared;
use crate::auth::sha256::Hasher;
use crate::domain::download::{Limits, Unstored};
use crate::domain::origin::Origin;
use crate::store::error::StoreError;
use crate::store::spool::SpoolFile;

/// The file of one download, and the hash of what was written to it.
pub(super) struct Writer {
    shared: Arc<Shared>,
    pub(super) spooled: SpoolFile,
    /// Of what was written.
    pub(super) hasher: Hasher,
    written: u64,
}

impl Writer {
    /// An empty file, and how long it may become; or how the download ends where the store takes none. Blocks.
    pub(super) fn new(shared: &Arc<Shared>, image: &Origin) -> Result<(Limits, Self), End> {
        let begun = shared.files.room_left().and_then(|room| Ok((room, shared.spool.create()?)));
        let (room, spooled) = match begun {
            Ok(begun) => begun,
            // Whatever keeps the store from taking it keeps nobody from pulling it.
            Err(error) => {
                shared.unstored.report(unstored(&error), Some(image));
                return Err(End::Unstored);
            }
        };
        let limits = Limits { max_length: shared.options.max_blob_bytes, room };
        Ok((limits, Self { shared: Arc::clone(shared), spooled, hasher: Hasher::default(), written: 0 }))
    }

    /// Writes and hashes all pieces, beside each other; after an error the hash and the count are those from before.
    pub(super) async fn store(mut self, batch: Vec<Bytes>) -> Result<(Self, Result<(), StoreError>), JoinError> {
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

    fn write(&mut self, batch: &[Bytes]) -> Result<(), StoreError> {
        self.check_room(batch)?;
        let mut offset = self.written;
        for bytes in batch {
            self.spooled.write_at(offset, bytes)?;
            offset += bytes.len() as u64;
        }
        self.written = offset;
        Ok(())
    }

    /// What was free at the start may have been used by others, other downloads among them.
    fn check_room(&self, batch: &[Bytes]) -> Result<(), StoreError> {
        let bytes: u64 = batch.iter().map(|bytes| bytes.len() as u64).sum();
        if self.shared.files.room_left()? < bytes { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// Why what the store refuses with this error is passed on unstored.
pub(super) fn unstored(error: &StoreError) -> Unstored {
    match error {
        StoreError::Full => Unstored::NoRoom,
        StoreError::Io(_) | StoreError::Damaged(_) => {
            tracing::debug!(%error, "the store takes no blob");
            Unstored::StoreFailed
        }
    }
}
