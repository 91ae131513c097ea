//! Committed blobs: one read-only file per blob, at `blobs/sha256/ab/<hex>` below the cache folder, named by its
//! digest. Only [`BlobFiles::commit`] puts a file there, complete and durable. Knows nothing of access rights.
//!
//! | file | content |
//! |---|---|
//! | [`blob_file`](super::blob_file) | the file of an open blob |
//! | [`open`] | blobs that stay open, or in memory, because they were requested recently |
//! | [`space`] | the space that blobs may take |
//! | [`verifying`] | verification of stored blobs |

mod open;
mod space;
mod verifying;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::atomic_file;
use super::error::StoreError;
use super::free_space::FreeSpace;
use super::spool::SpoolFile;
use super::usage::{FileKind, StoredFile, Usage};
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;

use self::open::MAX_IN_MEMORY_BYTES;
pub use self::open::{BlobContent, StoredBlob};
pub use self::verifying::{Stamp, Verified, lower_priority};
pub use super::blob_file::BlobFile;

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

    /// Removes a blob durably. Returns true if it was there. Readers that have it open can read on.
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
        self.free_space.free()
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
