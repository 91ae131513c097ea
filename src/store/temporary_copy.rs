//! Copies of databases in the temporary folder of the operating system (`TMPDIR`), for reading: sled writes when it
//! opens a database. Only this user can read them, and they are removed when they are dropped.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;

use super::atomic_file;
use super::error::StoreError;

/// A folder with the copy, which lives as long as this value.
pub(super) struct TemporaryCopy(TempDir);

/// Free disk space in bytes that is left beside a copy.
const HEADROOM_BYTES: u64 = 32 << 20;

impl TemporaryCopy {
    /// Copies those of the files and folders with these names that exist in a folder.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is too little space, and if something cannot be read or written.
    pub(super) fn of(folder: &Path, names: &[&str]) -> Result<Self, StoreError> {
        let copy = tempfile::Builder::new().prefix("dependency-proxy-").tempdir()?;
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
        Ok(Self(copy))
    }

    /// Returns the path of the folder with the copies.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
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
