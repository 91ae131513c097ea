//! Open blobs: the file of each blob that was requested recently stays open, or its bytes stay in memory.

use std::fs::File;
use std::io;

use bytes::Bytes;

use super::{BlobFile, BlobFiles};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::store::error::StoreError;

/// A committed blob, open for reading.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// The content.
    pub content: BlobContent,
    /// The length in bytes.
    pub length: u64,
}

/// Location of the bytes of an open blob.
#[derive(Clone, Debug)]
pub enum BlobContent {
    /// In the file of the blob.
    File(BlobFile),
    /// In memory, because the blob is small.
    Bytes(Bytes),
}

/// Maximum length in bytes of a blob that is kept in memory instead of as an open file. Most image configurations
/// are shorter.
pub(super) const MAX_IN_MEMORY_BYTES: u64 = 16 << 10;

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl BlobFiles {
    /// Opens a blob; `None` if it is not stored. A file whose length differs from `expected`, or that is empty
    /// although the digest is not that of empty content, counts as missing: the blob is downloaded again and the
    /// file replaced. A small blob is verified, and a damaged one is removed and counts as missing.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, read or, where it is damaged, removed.
    pub fn blob(&self, digest: &Digest, expected: Option<u64>) -> Result<Option<StoredBlob>, StoreError> {
        if let Some(blob) = self.already_open(digest, expected) {
            return Ok(Some(blob));
        }
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        let length = metadata.len();
        let whole = match expected {
            Some(expected) => length == expected,
            None => length > 0 || digest.hex() == EMPTY_SHA256,
        };
        if !whole {
            return Ok(None);
        }
        let file = BlobFile::new(file);
        let bytes = if length <= MAX_IN_MEMORY_BYTES { Some(file.read(0, length as usize)?) } else { None };
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == length);
        // A blob of this size is cheap to verify, and from now on is served without reading the file again.
        if bytes.as_ref().is_some_and(|bytes| sha256::digest(bytes) != *digest) {
            let removed = self.remove_damaged(digest, &metadata)?;
            return if removed { Ok(None) } else { self.blob(digest, expected) };
        }
        Ok(Some(self.keep_open(digest, &file, bytes, length)))
    }

    /// Returns a blob as [`Self::blob`] does, if its file is already open or its bytes are in memory. Does not
    /// block.
    pub fn already_open(&self, digest: &Digest, expected: Option<u64>) -> Option<StoredBlob> {
        let blob = self.open.get(digest)?;
        if blob.is_in_place() {
            return Some(blob).filter(|blob| expected.is_none_or(|expected| expected == blob.length));
        }
        self.open.remove(digest);
        None
    }

    /// Drops open files and in-memory blobs whose file was deleted from outside, so that the disk space is freed.
    /// Brief blocking I/O.
    pub fn close_removed(&self) {
        // Does not block concurrent lookups meanwhile.
        for (digest, blob) in self.open.iter() {
            if !(blob.is_in_place() && self.path(&digest).exists()) {
                self.open.remove(&digest);
            }
        }
    }

    /// Returns true if a client is reading the blob's file now.
    pub fn is_being_read(&self, digest: &Digest) -> bool {
        self.open.peek(digest).is_some_and(|blob| match &blob.content {
            // One more for the entry itself, and one for the copy in hand.
            BlobContent::File(file) => file.holders() > 2,
            BlobContent::Bytes(_) => false,
        })
    }

    fn keep_open(&self, digest: &Digest, file: &BlobFile, bytes: Option<Bytes>, length: u64) -> StoredBlob {
        let content = bytes.map_or_else(|| BlobContent::File(file.clone()), BlobContent::Bytes);
        let blob = StoredBlob { content, length };
        self.open.insert(*digest, blob.clone());
        // Checked after the insertion: a removal that came before it would otherwise leave the deleted file open.
        // Later removals find the entry.
        if !is_in_place(file, length) {
            self.open.remove(digest);
        }
        blob
    }
}

impl StoredBlob {
    /// Returns true if the file still has its name and length. Bytes in memory stay valid regardless of the file.
    fn is_in_place(&self) -> bool {
        match &self.content {
            BlobContent::File(file) => is_in_place(file, self.length),
            BlobContent::Bytes(_) => true,
        }
    }
}

/// Returns true if the open file was neither deleted nor truncated from outside.
fn is_in_place(file: &BlobFile, length: u64) -> bool {
    file.status().is_ok_and(|now| now.st_nlink > 0 && u64::try_from(now.st_size) == Ok(length))
}
