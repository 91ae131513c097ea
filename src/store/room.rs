//! How much the cache may still write. Everything of it (blobs, manifests and their descriptions, links, tags, the database of the
//! index) stops here; identities and what removes things do not.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::durable;
use super::error::StoreError;
use super::reserve;
use crate::domain::min_free::MinFree;

/// The room of the cache on the file system of one folder. Cheap to clone; a look costs a system call.
#[derive(Clone, Debug)]
pub struct Room {
    folder: PathBuf,
    min_free: MinFree,
    /// Free at any rate, because identities need it.
    at_least: u64,
}

impl Room {
    /// What the file system of `folder` has beyond `min_free`.
    pub fn new(folder: &Path, min_free: MinFree) -> Self {
        Self { folder: folder.to_owned(), min_free, at_least: 0 }
    }

    /// The same, where also the reserve of the identities in `data` stays free if they are on that file system: once it is given
    /// up for changes of identities, the cache must not take it.
    pub fn beside_identities(mut self, data: &Path) -> Self {
        let device =
            |folder: &Path| existing(folder).and_then(|folder| folder.metadata().ok()).map(|found| found.dev());
        if device(&self.folder) == device(data) {
            self.at_least = reserve::BYTES + reserve::MIN_FREE_BYTES;
        }
        self
    }

    /// How many bytes more the cache may write.
    pub fn left(&self) -> Result<u64, StoreError> {
        let Some(folder) = existing(&self.folder) else { return Ok(0) };
        let (total, free) = durable::total_and_free_bytes(folder)?;
        Ok(free.saturating_sub(self.min_free.of(total).max(self.at_least)))
    }

    /// The folder that it is of.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How much of the file system the operator keeps free.
    pub fn min_free(&self) -> MinFree {
        self.min_free
    }

    /// Free bytes of the file system, whoever may write them.
    pub fn free(&self) -> Result<u64, StoreError> {
        let Some(folder) = existing(&self.folder) else { return Ok(0) };
        Ok(durable::total_and_free_bytes(folder)?.1)
    }

    /// Whether the cache may write so many bytes.
    pub fn check(&self, bytes: u64) -> Result<(), StoreError> {
        if self.left()? < bytes.max(1) { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// The folder, or the nearest above it that exists.
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
        let room = |bytes| Room::new(&folder.path().join("cache"), MinFree::Bytes(bytes));
        let free = room(0).left().unwrap();
        assert!(matches!(room(free).check(1), Err(StoreError::Full)));
        assert!(room(0).check(1).is_ok());
        let beside = room(0).beside_identities(folder.path()).left().unwrap();
        assert!(beside < free, "{beside} {free}");
        assert_eq!(room(0).beside_identities(Path::new("/proc")).at_least, 0, "another file system");
    }
}
