//! Access to folders: their creation and their locks, and checks that both would succeed, which leave no trace.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Access, FlockOperation, access, flock};

use super::contents::check_contents;
use crate::store::error::OpenError;
use crate::store::{atomic_file, layout};

/// Locks a folder by means of the file with this name in it.
pub(super) fn lock_folder(path: &Path, name: &str) -> Result<File, OpenError> {
    locked(path, probe(path, name).map_err(|error| OpenError::unusable(path, error))?)
}

pub(super) fn locked(path: &Path, lock: File) -> Result<File, OpenError> {
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
        Err(error) => Err(OpenError::unusable(path, error.into())),
    }
}

/// Checks that this process could lock the folder, or create and lock it, and use what is in it. Leaves no trace.
///
/// # Errors
///
/// Fails if the folder, or the nearest existing one above it, is not a folder or not writable, or if a newer program
/// has written it.
pub fn check_folder(path: &Path) -> Result<(), OpenError> {
    check_nearest(path).map_err(|error| OpenError::unusable(path, error))?;
    check_contents(path, true)?;
    // The names of the files show whether it is a data folder or a cache folder.
    [layout::DATA, layout::CACHE].iter().try_for_each(|layout| layout.check(path))
}

/// Checks that this process could create a file, whose folder has to exist. Leaves no trace.
///
/// # Errors
///
/// Fails if the folder does not exist, or is not writable.
pub fn check_new_file(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    check_writable(folder).map_err(|error| OpenError::unusable(folder, error))
}

/// Checks the nearest existing folder on a path, in which the others would be created.
fn check_nearest(path: &Path) -> io::Result<()> {
    for above in path.ancestors() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match above.symlink_metadata() {
            Ok(_) => {
                // Only in a folder that exists does the kernel report that a name is too long.
                for name in path.strip_prefix(above).unwrap_or(path).components() {
                    above.join(name).symlink_metadata().map(|_| ()).or_else(unless_missing)?;
                }
                return check_writable(above);
            }
            Err(error) => unless_missing(error)?,
        }
    }
    Ok(())
}

fn check_writable(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    // With all permissions, as root has them, the file system may still refuse new files. This one has no name.
    tempfile::tempfile_in(folder)?;
    Ok(())
}

/// Creates the folder, tests that it is writable, and opens the file that is locked on its behalf.
fn probe(path: &Path, name: &str) -> io::Result<File> {
    create(path)?;
    tempfile::tempfile_in(path)?;
    File::options().create(true).truncate(false).write(true).open(path.join(name))
}

/// Creates the folder, accessible to this service's user only, if it is missing.
fn create(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        atomic_file::create_folder(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    Ok(())
}

pub(super) fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
