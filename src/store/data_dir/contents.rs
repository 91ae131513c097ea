//! Check that this process may use what is in a data folder or a cache folder. After a restore or a run as another user
//! some of it may belong to somebody else. Without this check it would look like damage.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::store::error::OpenError;

/// Names of what the service uses in its folders. Others, such as `lost+found`, are none of its business. A cache folder
/// below the data folder is checked by itself.
const USED: [&str; 10] = [
    "blobs",
    "groups",
    "identity",
    "identity.journal",
    "identity.jsonl",
    "identity.jsonl.1",
    "index",
    "manifests",
    "quarantine",
    "spool",
];

/// Depth to which folders are looked through. What is below are the files of content: one that cannot be read is
/// reported when it is.
const MAX_DEPTH: usize = 3;

/// Checks that what is in a folder can be used: read, and if `writes`, also written.
///
/// # Errors
///
/// Fails with the first file or folder that cannot.
pub(super) fn check_contents(folder: &Path, writes: bool) -> Result<(), OpenError> {
    // Root may read and write everything.
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for name in USED {
        check(folder.join(name), writes, 1)?;
    }
    Ok(())
}

fn check(path: PathBuf, writes: bool, depth: usize) -> Result<(), OpenError> {
    match usable(&path, writes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::unusable(&path, error)),
        Ok(is_folder) if !is_folder || depth == MAX_DEPTH => return Ok(()),
        Ok(_) => {}
    }
    let entries = std::fs::read_dir(&path).map_err(|error| OpenError::unusable(&path, error))?;
    entries.flatten().try_for_each(|entry| check(entry.path(), writes, depth + 1))
}

/// Returns true for a folder that can be used, and false for a file.
fn usable(path: &Path, writes: bool) -> io::Result<bool> {
    let is_folder = std::fs::metadata(path)?.is_dir();
    let wanted = if writes { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
    access(path, if is_folder { wanted | Access::EXEC_OK } else { wanted })?;
    Ok(is_folder)
}
