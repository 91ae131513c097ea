//! Disk space that only changes of identities can use: a preallocated file. If a change finds the disk full, the
//! file is deleted and the change is written, so that access can be revoked no matter what has filled the disk. The
//! file is created again when there is space for it. It is also deleted before a start on a full disk, because
//! opening the databases writes.
//!
//! An allocated file is the only promise of space that a file system keeps against other programs. Deleting it
//! frees all of the space at once, also after a crash in between; no state has to be remembered. Where a file
//! system cannot preallocate, the file is written in full. A copy-on-write file system (btrfs, zfs) may need some
//! space to delete it; then `min_free` is what keeps identities writable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::store::atomic_file;
use crate::store::error::StoreError;

/// Size of the reserve in bytes: enough for about ten thousand changes of identities.
pub(in crate::store) const RESERVE_BYTES: u64 = 16 << 20;

/// Free space in bytes below which the databases refuse changes, because sled does not recover from a full disk.
pub(in crate::store) const MIN_FREE_BYTES: u64 = 4 << 20;

/// Name of the preallocated file.
const NAME: &str = "reserve";

/// The reserve for the identities in one folder.
pub(in crate::store) struct Reserve {
    path: PathBuf,
    /// Held while the file is created or deleted.
    changing: Mutex<()>,
}

impl Reserve {
    /// Opens the reserve in this folder: creates it if there is space for it, and deletes it if the disk is full.
    pub(in crate::store) fn open(data: &Path) -> Self {
        let reserve = Self::at(data);
        if atomic_file::free_bytes(data).is_ok_and(|free| free < MIN_FREE_BYTES) {
            reserve.release();
        } else {
            reserve.refill();
        }
        reserve
    }

    /// Returns the reserve in this folder without a change.
    pub(in crate::store) fn at(data: &Path) -> Self {
        Self { path: data.join(NAME), changing: Mutex::new(()) }
    }

    /// Runs a check for space. If the disk is full, deletes the reserve and runs the check again. Fails as the
    /// check does.
    pub(in crate::store) fn or_release(&self, check: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match check() {
            Err(StoreError::Full) if self.release() => check(),
            checked => checked,
        }
    }

    /// Creates the file again once there is space for it, and some to spare. Blocks.
    pub(in crate::store) fn refill(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = self.path.parent().filter(|_| !self.is_whole()) else { return };
        if atomic_file::free_bytes(folder).is_ok_and(|free| free >= RESERVE_BYTES + 2 * MIN_FREE_BYTES)
            && let Err(error) = allocate(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "no space could be reserved for changes of identities");
            let _ = atomic_file::remove_file(&self.path);
        }
    }

    /// Deletes the file. Returns true if it was there.
    fn release(&self) -> bool {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match atomic_file::remove_file(&self.path) {
            Ok(removed) => {
                if removed {
                    tracing::error!(path = %self.path.display(), "the disk is full: changes of identities use the reserved space from now on; free some disk space");
                }
                removed
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the reserved space for changes of identities cannot be freed");
                false
            }
        }
    }

    /// Returns true if the file is complete. A process that was killed while creating it leaves a shorter one.
    fn is_whole(&self) -> bool {
        self.path.metadata().is_ok_and(|file| file.len() == RESERVE_BYTES)
    }
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_in_full(file),
        Err(error) => Err(error.into()),
    }
}

fn write_in_full(mut file: File) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    for _ in 0..RESERVE_BYTES >> 20 {
        file.write_all(&zeros)?;
    }
    file.sync_all()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_reserve_takes_blocks_and_is_given_up_once_for_a_change_that_finds_the_disk_full() {
        let data = tempfile::tempdir().unwrap();
        let (reserve, path) = (Reserve::open(data.path()), data.path().join(NAME));
        assert!(path.metadata().unwrap().blocks() * 512 >= RESERVE_BYTES);
        assert!(reserve.or_release(|| Ok(())).is_ok() && path.exists());
        let full_while_reserved = || if path.exists() { Err(StoreError::Full) } else { Ok(()) };
        assert!(reserve.or_release(full_while_reserved).is_ok() && !path.exists());
        assert!(matches!(reserve.or_release(|| Err(StoreError::Full)), Err(StoreError::Full)));
        reserve.refill();
        assert!(reserve.is_whole());
        std::fs::write(&path, "cut short").unwrap();
        assert!(Reserve::open(data.path()).is_whole());
    }
}
