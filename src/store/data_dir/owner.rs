//! Owner of the files in a folder: that of the folder, also where root has created them.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Changes the owner of a file, which may be in another folder, to the owner of the data folder. Does nothing unless
/// the process runs as root.
///
/// # Errors
///
/// Fails if the owner of the folder cannot be read, or that of the file cannot be changed.
pub fn give_to_owner_of(data: &Path, file: &Path) -> io::Result<()> {
    let owner = std::fs::metadata(data)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        std::os::unix::fs::lchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Changes the owner of everything below the folder that another user owns.
pub(super) fn chown(folder: &Path, owner: &Metadata) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            chown(&entry.path(), owner)?;
        }
        if found.uid() != owner.uid() {
            std::os::unix::fs::lchown(entry.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}
