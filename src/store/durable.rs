//! Files that are there whole or not at all: written beside their name and renamed into place. Never writes in place.
//!
//! Everything here blocks. Files are made readable for this service's user alone (mode 0600), folders as the umask says.
//! A process killed in the middle leaves a file whose name [`is_leftover`] recognises.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

const TEMPORARY: &str = ".write-";

/// Writes `bytes` so that after a power cut `path` holds either all of them or what it held before; once this returns, it
/// holds them. Missing parent folders are made.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    create_folder(folder)?;
    let file = write_beside(folder, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// As [`write_file`], without forcing the disk: after `kill -9` the file is whole, after a power cut it may be missing, old
/// or empty. For small files that can be made again, such as links.
pub fn write_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    if !folder.is_dir() {
        create_folder(folder)?;
    }
    write_beside(folder, bytes)?.persist(path)?;
    Ok(())
}

/// Renames `from`, whose bytes were synced, to `to` on the same file system and forces the new name to the disk. Missing
/// parent folders of `to` are made; what was at `to` is replaced.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let folder = parent(to)?;
    create_folder(folder)?;
    fs::rename(from, to)?;
    sync_folder(folder)
}

/// Removes a file durably. Says whether it was there.
pub fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(parent(path)?).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a folder and its missing parents, and forces their names to the disk.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        // Another thread was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a file of this name was left by a process that was killed while writing: it may be removed at start.
pub fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

/// Forces the names in a folder to the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_beside(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn parent(path: &Path) -> io::Result<&Path> {
    let parent = path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    Ok(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_written_replaced_and_removed_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        write_file(&path, b"one").unwrap();
        write_small(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(remove_file(&path).unwrap());
        assert!(!remove_file(&path).unwrap());
    }

    #[test]
    fn a_renamed_file_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("x/to"));
        write_file(&from, b"new").unwrap();
        write_file(&to, b"old").unwrap();
        rename(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
    }

    #[test]
    fn what_a_killed_writer_leaves_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let left = write_beside(folder.path(), b"x").unwrap();
        assert!(is_leftover(left.path().file_name().unwrap()));
        assert!(!is_leftover(OsStr::new("0123")));
    }
}
