//! Space on the disk that only changes of identities can use: a preallocated file beside them. Where a change finds the disk full the
//! file is removed, and the change made: whoever has to be shut out is, whatever has filled the disk. It is made again when there is
//! space for it. Before a start, too, it is removed where the disk is full: opening the databases writes.
//!
//! A file that takes blocks is the only promise that a file system keeps against other programs. Removing it gives all of it back at
//! once, also after a crash between the two; nothing has to be remembered. Where a file system cannot preallocate it is written
//! in full. One that copies on write (btrfs, zfs) may need some space to remove it; then `min_free` is what keeps identities writable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::durable;
use super::error::StoreError;

/// So many bytes are kept for changes of identities: some ten thousand of them.
pub(super) const BYTES: u64 = 16 << 20;

/// Databases stop before the disk is full, because sled cannot go on after that.
pub(super) const MIN_FREE_BYTES: u64 = 4 << 20;

const NAME: &str = "reserve";

/// The reserve of the identities in one folder.
pub(super) struct Reserve {
    path: PathBuf,
    /// Held while the file is made or removed.
    changing: Mutex<()>,
}

impl Reserve {
    /// The reserve in this folder: made where there is none and space for it, removed where the disk is full.
    pub(super) fn open(data: &Path) -> Self {
        let reserve = Self::at(data);
        if durable::free_bytes(data).is_ok_and(|free| free < MIN_FREE_BYTES) {
            reserve.release();
        } else {
            reserve.refill();
        }
        reserve
    }

    /// The reserve in this folder as it is.
    pub(super) fn at(data: &Path) -> Self {
        Self { path: data.join(NAME), changing: Mutex::new(()) }
    }

    /// Runs a check for space. Where the disk is full, the reserve is given up and the check runs again.
    pub(super) fn or_release(&self, check: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match check() {
            Err(StoreError::Full) if self.release() => check(),
            checked => checked,
        }
    }

    /// Makes the file again once there is space for it, with some to spare. Blocks.
    pub(super) fn refill(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = self.path.parent().filter(|_| !self.is_whole()) else { return };
        if durable::free_bytes(folder).is_ok_and(|free| free >= BYTES + 2 * MIN_FREE_BYTES)
            && let Err(error) = allocate(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "no space could be reserved for changes of identities");
            let _ = durable::remove_file(&self.path);
        }
    }

    /// Removes the file. Says whether it was there.
    fn release(&self) -> bool {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match durable::remove_file(&self.path) {
            Ok(removed) => {
                if removed {
                    tracing::error!(path = %self.path.display(), "the disk is full: identities use their reserve from now on; free some space");
                }
                removed
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the reserve of the identities cannot be given up");
                false
            }
        }
    }

    /// A process that was killed while making it leaves less.
    fn is_whole(&self) -> bool {
        self.path.metadata().is_ok_and(|file| file.len() == BYTES)
    }
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_in_full(file),
        Err(error) => Err(error.into()),
    }
}

fn write_in_full(mut file: File) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    for _ in 0..BYTES >> 20 {
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
        assert!(path.metadata().unwrap().blocks() * 512 >= BYTES);
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
