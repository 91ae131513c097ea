//! Removal of the temporary files that killed processes have left behind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::{TEMPORARY_PREFIX, unlink};

/// Temporary files below some folders that killed processes have left behind.
#[derive(Clone, Debug)]
pub struct TempFileSweep {
    folders: Vec<PathBuf>,
    pub(super) before: SystemTime,
}

impl TempFileSweep {
    /// Selects the temporary files that exist now. Files that are written from now on are not among them.
    pub fn below(folders: &[&Path]) -> Self {
        let apart = folders.iter().filter(|folder| !folders.iter().any(|other| is_inside(folder, other)));
        Self { folders: apart.map(|folder| (*folder).to_owned()).collect(), before: SystemTime::now() }
    }

    /// Removes the files and returns their number. Walks through all names below the folders.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read or a file cannot be removed.
    pub fn remove(&self) -> io::Result<usize> {
        let is_old_leftover = |entry: &fs::DirEntry| Ok(is_leftover(&entry.file_name()) && self.is_old(entry)?);
        self.folders.iter().map(|folder| remove_files_below(folder, &is_old_leftover)).sum()
    }

    fn is_old(&self, entry: &fs::DirEntry) -> io::Result<bool> {
        let written = if_present(entry.metadata().and_then(|file| file.modified()))?;
        Ok(written.is_some_and(|written| written < self.before))
    }
}

/// Removes the files below a folder that are selected, but not the folders, and returns their number. What another task
/// removes meanwhile counts as gone.
///
/// # Errors
///
/// Fails if a folder cannot be read or a file cannot be removed.
pub(in crate::store) fn remove_files_below(
    folder: &Path,
    is_selected: &impl Fn(&fs::DirEntry) -> io::Result<bool>,
) -> io::Result<usize> {
    let mut removed = 0;
    for entry in if_present(fs::read_dir(folder))?.into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_files_below(&entry.path(), is_selected)?;
        } else if is_selected(&entry)? {
            removed += usize::from(unlink(&entry.path())?);
        }
    }
    Ok(removed)
}

/// Maps the error that a file does not exist, because another task has removed it, to `None`.
fn if_present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn is_inside(folder: &Path, other: &Path) -> bool {
    folder != other && folder.starts_with(other)
}

/// Returns true for the name of a temporary file.
pub(in crate::store) fn is_temporary(name: &str) -> bool {
    is_leftover(OsStr::new(name))
}

fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}
