//! The folder `quarantine` in the cache folder: what was found to be broken, under the path that it had below the cache
//! folder. Nothing reads it. It counts as stored nowhere, and an operator may delete it at any time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::store::atomic_file;

/// Name of the folder.
const NAME: &str = "quarantine";

/// Content of the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quarantined {
    /// Number of files.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

/// Returns the path of the folder.
pub(super) fn folder(cache: &Path) -> PathBuf {
    cache.join(NAME)
}

/// Moves a file or folder below the cache folder into quarantine, durably. Fails if it cannot be renamed.
pub(super) fn take(cache: &Path, path: &Path) -> io::Result<()> {
    atomic_file::rename(path, &destination(cache, path)?)?;
    path.parent().map_or(Ok(()), atomic_file::sync_folder)
}

/// Copies a file into quarantine, durably. Fails if it cannot be read or written.
pub(super) fn copy(cache: &Path, path: &Path) -> io::Result<()> {
    atomic_file::write_file(&destination(cache, path)?, &fs::read(path)?)
}

/// Returns what is in the folder. What cannot be read is left out.
pub(super) fn amount(cache: &Path) -> Quarantined {
    fn add(folder: &Path, amount: &mut Quarantined) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => add(&entry.path(), amount),
                Ok(found) => {
                    amount.files += 1;
                    amount.bytes += found.len();
                }
                Err(_) => {}
            }
        }
    }
    let mut amount = Quarantined::default();
    add(&folder(cache), &mut amount);
    amount
}

/// Returns a path in the folder at which there is nothing.
fn destination(cache: &Path, path: &Path) -> io::Result<PathBuf> {
    let below = path.strip_prefix(cache).map_err(|_| io::Error::other("it is not in the cache folder"))?;
    let first = folder(cache).join(below);
    let numbered = |number: u32| {
        let suffix = OsString::from(number.to_string());
        first.with_added_extension(suffix)
    };
    let mut all = std::iter::once(first.clone()).chain((1..).map(numbered));
    all.find(|path| path.symlink_metadata().is_err()).ok_or_else(|| io::Error::other("no name is left for it"))
}
