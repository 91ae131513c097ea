//! Manifests as files, each with a small file that describes it: its media type and size. The bytes are those that
//! upstream sent. A manifest is used only if its bytes still have its digest and match the description.

mod description;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub(super) use self::description::described_type;

use self::description::{DESCRIPTION_SUFFIX, Description, media_type};
use super::atomic_file;
use super::blobs::for_each_file;
use super::damage::{self, Kind};
use super::error::StoreError;
use super::free_space::FreeSpace;
use super::large_buffer::{LargeBuffer, SMALL_BYTES};
use super::usage::{FileKind, StoredFile, Usage};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;

/// The folder of manifests. All methods block.
pub struct ManifestStore {
    folder: PathBuf,
    free_space: FreeSpace,
    usage: Usage,
}

/// A manifest and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The media type that upstream sent, without parameters.
    pub media_type: String,
    /// The bytes as upstream sent them.
    pub bytes: Bytes,
}

/// Maximum disk space in bytes that a manifest takes beside its bytes: for its description, and for the rounding of
/// both files to disk blocks.
const MAX_OVERHEAD_BYTES: u64 = 16 << 10;

impl Manifest {
    /// Creates a manifest of these bytes and computes its digest.
    pub fn new(media_type: String, bytes: Bytes) -> Self {
        Self { digest: sha256::digest(&bytes), media_type, bytes }
    }
}

impl ManifestStore {
    /// Returns the manifests below the cache folder.
    pub fn new(cache: &Path) -> Self {
        let folder = cache.join("manifests").join("sha256");
        let free_space = FreeSpace::new(&folder, MinFree::Bytes(0));
        Self { folder, free_space, usage: Usage::default() }
    }

    /// Returns the same manifests, counted in these totals.
    pub fn counted_in(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Returns the totals in which the manifests are counted.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Returns the digests of all stored manifests, in no particular order.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub fn digests(&self) -> Result<Vec<Digest>, StoreError> {
        self.digests_with("")
    }

    fn digests_with(&self, suffix: &str) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        if self.folder.exists() {
            for_each_file(&self.folder, suffix, |digest, _| digests.push(digest))?;
        }
        Ok(digests)
    }

    /// Removes the descriptions of manifests that are not stored, which killed processes have left, and returns their
    /// number. A manifest that is being stored may lose its description, which is written again once it is read.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read or a file cannot be removed.
    pub(in crate::store) fn remove_lone_descriptions(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        for digest in self.digests_with(DESCRIPTION_SUFFIX)? {
            let (file, description) = self.paths(&digest);
            let _changing = self.usage.changing(&digest);
            if !file.exists() {
                removed += usize::from(atomic_file::unlink(&description)?);
            }
        }
        Ok(removed)
    }

    /// Returns the same manifests, limited to this disk space.
    pub fn within(mut self, free_space: FreeSpace) -> Self {
        self.free_space = free_space;
        self
    }

    /// Returns the disk space that is available to the manifests.
    pub fn free_space(&self) -> &FreeSpace {
        &self.free_space
    }

    /// Stores a manifest. Once this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or a file cannot be written.
    pub fn put(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let (file, description) = self.paths(&manifest.digest);
        if file.exists() && description.exists() {
            return Ok(());
        }
        let size = manifest.bytes.len() as u64;
        self.free_space.check(size + MAX_OVERHEAD_BYTES)?;
        let text = serde_json::to_vec(&Description { media_type: manifest.media_type.clone(), size })?;
        atomic_file::write_file(&description, &text)?;
        let _changing = self.usage.changing(&manifest.digest);
        let is_new = !file.exists();
        atomic_file::write_file(&file, &manifest.bytes)?;
        if is_new {
            self.usage.stored(&manifest.digest, manifest_of(size));
        }
        Ok(())
    }

    /// Returns the manifest with this digest; `None` if it is not stored. A damaged manifest is reported and
    /// removed, and counts as missing.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks open files or memory, or if a damaged file cannot be removed.
    pub fn read(&self, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
        let (file, description) = self.paths(digest);
        let read = damage::readable_content(Kind::Manifest, &file, digest, read_large(&file))?;
        let Some(bytes) = read else { return Ok(None) };
        let mut manifest = Manifest::new(String::new(), bytes);
        if manifest.digest != *digest {
            return self.remove_damaged(digest, &manifest);
        }
        let Some(media_type) = media_type(&manifest.bytes, &description, digest)? else {
            return self.remove_damaged(digest, &manifest);
        };
        manifest.media_type = media_type;
        Ok(Some(manifest))
    }

    /// Removes a damaged manifest of which this was read. If it was stored again meanwhile, returns it.
    fn remove_damaged(&self, digest: &Digest, read: &Manifest) -> Result<Option<Manifest>, StoreError> {
        let (file, description) = self.paths(digest);
        let changing = self.usage.changing(digest);
        let is_right = read.digest == *digest;
        let is_described = || described_type(&read.bytes, fs::read(&description).ok().as_deref()).is_some();
        if fs::read(&file).is_ok_and(|now| now != read.bytes) || (is_right && is_described()) {
            drop(changing);
            return self.read(digest);
        }
        if !is_right {
            damage::found(Kind::Manifest, &file, digest, "it is removed and fetched again");
        }
        self.remove_locked(digest, atomic_file::remove_file)?;
        Ok(None)
    }

    /// Returns the length of a manifest in bytes; 0 if it is not stored.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report the file's metadata.
    pub fn length(&self, digest: &Digest) -> Result<u64, StoreError> {
        match fs::metadata(self.paths(digest).0) {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a manifest, if it is stored.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.remove_with(digest, atomic_file::remove_file).map(drop)
    }

    /// As [`Self::remove`], but not durably: after a crash the manifest may be there again. Returns true if it was
    /// there.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub(in crate::store) fn evict(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.remove_with(digest, atomic_file::unlink)
    }

    fn remove_with(&self, digest: &Digest, remove: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, StoreError> {
        let _changing = self.usage.changing(digest);
        self.remove_locked(digest, remove)
    }

    /// Removes a manifest that no other thread changes meanwhile.
    fn remove_locked(&self, digest: &Digest, remove: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, StoreError> {
        let (file, description) = self.paths(digest);
        let size = self.length(digest).unwrap_or_default();
        let removed = remove(&file)?;
        if removed {
            self.usage.removed(digest, manifest_of(size));
        }
        remove(&description)?;
        Ok(removed)
    }

    fn paths(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let hex = digest.hex();
        let folder = self.folder.join(&hex[..2]);
        (folder.join(&hex), folder.join(hex + DESCRIPTION_SUFFIX))
    }
}

fn manifest_of(size: u64) -> StoredFile {
    StoredFile { kind: FileKind::Manifest, size }
}

/// Reads a file. A large one gets memory of its own, which returns to the kernel as soon as the content is dropped.
fn read_large(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length <= SMALL_BYTES { Ok(Bytes::from(fs::read(path)?)) } else { LargeBuffer::read(file, length) }
}

#[cfg(test)]
mod tests;
