//! Operations on the records of stored files: recording, eviction, and comparison with the files.

use std::collections::HashMap;

use super::{ContentStore, Evicted};
use crate::domain::digest::Digest;
use crate::store::blobs::BlobFiles;
use crate::store::error::StoreError;

impl ContentStore {
    /// Records the files that were stored and removed since the last call, and these reads, by the digest of what was
    /// read.
    ///
    /// # Errors
    ///
    /// Fails if a manifest cannot be read because the process lacks open files or memory.
    pub async fn record_files(&self, reads: HashMap<Digest, u32>, blobs: BlobFiles) -> Result<(), StoreError> {
        if let Some(shared) = self.shared() {
            shared.note_reads(reads.keys().copied().collect());
        }
        self.run(move |content| content.record_files(&reads, &blobs)).await
    }

    /// Evicts content until this number of bytes is free, or there is no more. Its links and tags stay, so that it is
    /// fetched again when it is pulled. Evicts nothing that a client is reading.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub async fn evict(&self, bytes: u64, blobs: BlobFiles) -> Result<Evicted, StoreError> {
        self.run(move |content| content.evict(bytes, &blobs)).await
    }

    /// Compares the records of the files with the files, and corrects the records. Reads only folders and the metadata
    /// of files. Returns the number of corrections.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub async fn reconcile(&self, blobs: BlobFiles) -> Result<usize, StoreError> {
        // Not as one change: it may take long, and each of its corrections is complete by itself.
        self.on_thread(move |content| content.reconcile(&blobs, &mut || true)).await
    }
}
