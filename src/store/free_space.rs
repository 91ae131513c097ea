//! Disk space that is available to the cache. It limits everything that the cache writes (blobs, manifests and
//! their descriptions, links, tags, the database of the index). Changes of identities and removals are not limited.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::atomic_file;
use super::error::StoreError;
use super::reserve;
use crate::domain::min_free::MinFree;

/// The disk space for the cache on the file system of one folder. Cheap to clone; each query costs a system call.
#[derive(Clone, Debug)]
pub struct FreeSpace {
    folder: PathBuf,
    min_free: MinFree,
    /// Minimum number of bytes to keep free for identities, whatever `min_free` is.
    reserved_bytes: u64,
}

impl FreeSpace {
    /// Returns the space that the file system of `folder` has beyond `min_free`.
    pub fn new(folder: &Path, min_free: MinFree) -> Self {
        Self { folder: folder.to_owned(), min_free, reserved_bytes: 0 }
    }

    /// Returns the same space, less the reserve of the identities in the folder `data` if that is on the same file
    /// system: once the reserve is freed for changes of identities, the cache must not use it.
    pub fn beside_identities(mut self, data: &Path) -> Self {
        let device =
            |folder: &Path| existing(folder).and_then(|folder| folder.metadata().ok()).map(|found| found.dev());
        if device(&self.folder) == device(data) {
            self.reserved_bytes = reserve::RESERVE_BYTES + reserve::MIN_FREE_BYTES;
        }
        self
    }

    /// Returns the number of bytes that the cache may still write.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn left(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.balance()?).unwrap_or(0))
    }

    /// Returns the number of bytes that the cache may still write; negative if it has written more than it may, or
    /// others have filled the disk.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn balance(&self) -> Result<i128, StoreError> {
        let Some(folder) = existing(&self.folder) else { return Ok(0) };
        let (total, free) = atomic_file::total_and_free_bytes(folder)?;
        Ok(i128::from(free) - i128::from(self.min_free.of(total).max(self.reserved_bytes)))
    }

    /// Returns the size of the file system in bytes.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its size.
    pub fn total(&self) -> Result<u64, StoreError> {
        let Some(folder) = existing(&self.folder) else { return Ok(0) };
        Ok(atomic_file::total_and_free_bytes(folder)?.0)
    }

    /// Returns the folder whose file system is meant.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the configured minimum of free space.
    pub fn min_free(&self) -> MinFree {
        self.min_free
    }

    /// Returns the number of free bytes of the file system, including those that the cache may not use.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn free(&self) -> Result<u64, StoreError> {
        let Some(folder) = existing(&self.folder) else { return Ok(0) };
        Ok(atomic_file::total_and_free_bytes(folder)?.1)
    }

    /// Checks that the cache may write this number of bytes.
    ///
    /// # Errors
    ///
    /// Fails if they exceed the available space, or if the file system does not report it.
    pub fn check(&self, bytes: u64) -> Result<(), StoreError> {
        if self.left()? < bytes.max(1) { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// Returns the folder, or the nearest existing one above it.
fn existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.exists())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_cache_leaves_what_is_to_stay_free_and_the_reserve_of_identities_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let free_space = |bytes| FreeSpace::new(&folder.path().join("cache"), MinFree::Bytes(bytes));
        let free = free_space(0).left().unwrap();
        assert!(matches!(free_space(free).check(1), Err(StoreError::Full)));
        assert!(free_space(0).check(1).is_ok());
        let beside = free_space(0).beside_identities(folder.path()).left().unwrap();
        assert!(beside < free, "{beside} {free}");
        assert_eq!(free_space(0).beside_identities(Path::new("/proc")).reserved_bytes, 0, "another file system");
    }
}
