//! Copies of databases in the temporary folder of the operating system (`TMPDIR`), for reading: sled writes when it
//! opens a database. Only this user can read them. They are removed when they are dropped, and those of a process that
//! was killed by the next copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::atomic_file;
use super::error::StoreError;

/// A folder with the copy, which lives as long as this value.
pub(super) struct TemporaryCopy {
    folder: TempDir,
    /// The folder itself, locked: the lock shows that its process is running.
    _lock: File,
}

/// Beginning of the names of the folders.
const PREFIX: &str = "dependency-proxy-copy-";

/// Free disk space in bytes that is left beside a copy.
const HEADROOM_BYTES: u64 = 32 << 20;

impl TemporaryCopy {
    /// Copies those of the files and folders with these names that exist in a folder.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is too little space, and if something cannot be read or written.
    pub(super) fn of(folder: &Path, names: &[&str]) -> Result<Self, StoreError> {
        let temporary = std::env::temp_dir();
        remove_abandoned(&temporary);
        let (copy, lock) = locked_folder(&temporary).map_err(|error| {
            let error = format!("the temporary folder {} (TMPDIR) cannot be used: {error}", temporary.display());
            StoreError::Io(error)
        })?;
        let present: Vec<(PathBuf, PathBuf)> = names
            .iter()
            .map(|name| (folder.join(name), copy.path().join(name)))
            .filter(|(from, _)| from.exists())
            .collect();
        let bytes = present.iter().map(|(from, _)| length(from)).sum::<io::Result<u64>>()?;
        if atomic_file::free_bytes(copy.path())? < bytes.saturating_add(HEADROOM_BYTES) {
            return Err(StoreError::Full);
        }
        present.iter().try_for_each(|(from, to)| copy_all(from, to))?;
        Ok(Self { folder: copy, _lock: lock })
    }

    /// Returns the path of the folder with the copies.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Returns a new folder, locked. Until it is locked, another process may take it for an abandoned one; then this
/// function makes another one.
fn locked_folder(temporary: &Path) -> io::Result<(TempDir, File)> {
    loop {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(temporary)?;
        if let Ok(lock) = File::open(folder.path())
            && is_unlocked(&lock)
            && folder.path().exists()
        {
            return Ok((folder, lock));
        }
    }
}

/// Removes the copies of this user that killed processes have left. A failure leaves them where they are.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Metadata of the entry itself, not of the target of a symbolic link, which another user may have made.
        let is_own =
            || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw());
        if is_copy
            && is_own()
            && let Ok(folder) = File::open(entry.path())
            && is_unlocked(&folder)
        {
            // Locked while it is removed, so that a process that has just made it notices. If the removal fails, the
            // next copy tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Locks a folder until the file is closed. Returns false if another process has locked it.
fn is_unlocked(folder: &File) -> bool {
    flock(folder, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Returns the length of a file in bytes, or that of all files below a folder.
fn length(path: &Path) -> io::Result<u64> {
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    fs::read_dir(path)?.map(|entry| length(&entry?.path())).sum()
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_exists_and_is_removed_when_it_is_dropped() {
        let original = tempfile::tempdir().unwrap();
        fs::create_dir_all(original.path().join("index/blobs")).unwrap();
        fs::write(original.path().join("index/blobs/one"), "1").unwrap();
        let copy = TemporaryCopy::of(original.path(), &["index", "other"]).unwrap();
        let path = copy.path().to_owned();
        assert_eq!(fs::read(path.join("index/blobs/one")).unwrap(), b"1");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        drop(copy);
        assert!(!path.exists());
    }

    #[test]
    fn copies_that_are_made_at_the_same_time_do_not_remove_one_another() {
        let temporary = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let (folder, _lock) = locked_folder(temporary.path()).unwrap();
                        remove_abandoned(temporary.path());
                        fs::write(folder.path().join("db"), "x").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn copies_of_killed_processes_are_removed_and_those_in_use_are_not() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = temporary.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("db"), "x").unwrap();
            path
        };
        let (abandoned, used) = (folder("dependency-proxy-copy-1"), folder("dependency-proxy-copy-2"));
        let other = folder("other-1");
        let lock = File::open(&used).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        remove_abandoned(temporary.path());
        assert_eq!([abandoned.exists(), used.exists(), other.exists()], [false, true, true]);
    }
}
