//! Committed blobs: one read-only file per blob, at `blobs/sha256/ab/<hex>` below the cache folder, named by its
//! digest. Only [`BlobFiles::commit`] puts a file there, complete and durable. Knows nothing of access rights.

mod file;
mod space;
mod verifying;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;

use super::atomic_file;
use super::error::StoreError;
use super::free_space::FreeSpace;
use super::spool::SpoolFile;
use super::usage::{FileKind, StoredFile, Usage};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;

pub use self::file::BlobFile;
pub use self::verifying::{Stamp, Verified, lower_priority};

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// All committed blobs of this machine. Cheap to clone. Its methods block, apart from [`Self::already_open`].
#[derive(Clone, Debug)]
pub struct BlobFiles {
    folder: PathBuf,
    free_space: FreeSpace,
    quota: Quota,
    usage: Usage,
    /// Blobs that were requested recently: their files stay open, because opening a file may wait for the disk.
    open: Arc<Cache<Digest, StoredBlob>>,
}

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
const MAX_IN_MEMORY_BYTES: u64 = 16 << 10;

impl BlobFiles {
    /// Opens the blobs below this cache folder, which is created if it is missing. Keeps up to `open` of the
    /// requested blobs open or in memory.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be created.
    pub fn open(cache_dir: &Path, min_free: MinFree, open: usize) -> Result<Self, StoreError> {
        let folder = cache_dir.join("blobs").join("sha256");
        atomic_file::create_folder(&folder)?;
        let free_space = FreeSpace::new(&folder, min_free);
        let usage = Usage::default();
        Ok(Self { folder, free_space, quota: Quota::Unlimited, usage, open: Arc::new(Cache::new(open)) })
    }

    /// Returns the same blobs, counted in these totals, which may not exceed the quota.
    pub fn within(mut self, quota: Quota, usage: Usage) -> Self {
        (self.quota, self.usage) = (quota, usage);
        self
    }

    /// Returns the same blobs, but never uses the disk space reserved for the identities in the folder `data`.
    pub fn beside_identities(mut self, data: &Path) -> Self {
        self.free_space = self.free_space.beside_identities(data);
        self
    }

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

    /// Makes a verified spool file the blob of this digest, replacing an equal blob that was there. Syncs the file,
    /// renames it, then syncs the folder.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be synced or renamed, or if the store is closed. The spool file is removed then.
    pub fn commit(&self, spooled: SpoolFile, digest: &Digest) -> Result<(), StoreError> {
        let (path, file) = (self.path(digest), spooled.file().clone());
        // Outside the lock, because it waits for the disk.
        spooled.sync()?;
        let _change = self.usage.closing().begin()?;
        let _changing = self.usage.changing(digest);
        let before = fs::metadata(&path).ok().map(|file| file.len());
        spooled.persist(&path)?;
        self.open.remove(digest);
        let size = fs::metadata(&path)?.len();
        // The readers of the download go on reading this file, which keeps it from being evicted.
        if size > MAX_IN_MEMORY_BYTES {
            self.open.insert(*digest, StoredBlob { content: BlobContent::File(file), length: size });
        }
        match before {
            // The same content: only a damaged file had another length.
            Some(before) if before == size => {}
            Some(before) => {
                self.usage.removed(digest, blob_of(before));
                self.usage.stored(digest, blob_of(size));
            }
            None => self.usage.stored(digest, blob_of(size)),
        }
        Ok(())
    }

    /// Removes a blob durably. Returns whether it was there. Readers that have it open can read on.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed or its folder cannot be synced, or if the store is closed.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let _change = self.usage.closing().begin()?;
        self.remove_with(digest, atomic_file::remove_file)
    }

    /// As [`Self::remove`], but not durably: after a crash the blob may be there again.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed.
    pub(in crate::store) fn evict(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.remove_with(digest, atomic_file::unlink)
    }

    fn remove_with(&self, digest: &Digest, remove: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let _changing = self.usage.changing(digest);
        let before = fs::metadata(&path).ok().map(|file| file.len());
        let removed = remove(&path);
        // Also after a failure: an open file would keep the disk space in use.
        self.open.remove(digest);
        let removed = removed?;
        if removed {
            self.usage.removed(digest, blob_of(before.unwrap_or_default()));
        }
        Ok(removed)
    }

    /// Returns true if a client is reading the blob's file now.
    pub fn is_being_read(&self, digest: &Digest) -> bool {
        self.open.peek(digest).is_some_and(|blob| match &blob.content {
            // One more for the entry itself, and one for the copy in hand.
            BlobContent::File(file) => file.holders() > 2,
            BlobContent::Bytes(_) => false,
        })
    }

    /// Returns the digests of all committed blobs, in no particular order.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub fn digests(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for_each_file(&self.folder, "", |digest, _| digests.push(digest))?;
        Ok(digests)
    }

    /// Returns the totals in which the blobs are counted.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Returns the maximum size of all stored content.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns the disk space that is available to the blobs.
    pub fn free_space(&self) -> &FreeSpace {
        &self.free_space
    }

    /// Returns the number of free bytes on the disk that a process without root rights may use.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn free(&self) -> Result<u64, StoreError> {
        Ok(atomic_file::free_bytes(&self.folder)?)
    }

    /// Returns the path of the file of this digest, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(&hex[..2]).join(hex)
    }
}

fn blob_of(size: u64) -> StoredFile {
    StoredFile { kind: FileKind::Blob, size }
}

/// Calls `call` for every file below the folder of blobs or manifests whose name is a digest with this suffix.
pub(super) fn for_each_file(
    folder: &Path,
    suffix: &str,
    mut call: impl FnMut(Digest, &fs::DirEntry),
) -> Result<(), StoreError> {
    for shard in fs::read_dir(folder)? {
        let shard = shard?.path();
        if !shard.is_dir() {
            continue;
        }
        for entry in fs::read_dir(shard)? {
            let entry = entry?;
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(suffix));
            if let Some(digest) = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok()) {
                call(digest, &entry);
            }
        }
    }
    Ok(())
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
