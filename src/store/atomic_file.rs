//! Atomic file replacement: write to a temporary file beside the target, sync, rename. Small files that can be made
//! again may skip the sync; only links are appended in place.
//!
//! All functions block. Files are created with mode 0600 and folders with mode 0700, for this service's user only.
//! A process that is killed while writing leaves a temporary file, which [`TempFileSweep`] removes.

mod leftovers;
mod new_file;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

pub use self::leftovers::TempFileSweep;
pub(super) use self::leftovers::{is_temporary, remove_files_below};
pub use self::new_file::NewFile;

/// Beginning of the names of temporary files.
const TEMPORARY_PREFIX: &str = ".write-";

/// Writes `bytes` durably: after a power cut `path` has either all of them or its previous content, and once this
/// returns, all of them. Missing parent folders are created.
///
/// # Errors
///
/// Fails if the file or its folder cannot be written or synced.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    create_folder(folder)?;
    let file = write_beside(folder, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Forces the name of a file to the disk, by syncing its folder.
///
/// # Errors
///
/// Fails if the folder cannot be synced.
pub fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(parent(path)?)
}

/// Writes a file as [`write_file`] does, but without syncing: after `kill -9` the file is complete, after a power
/// cut it may be missing, old or empty. For small files that can be made again, such as links.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn write_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    if !folder.is_dir() {
        create_folder(folder)?;
    }
    write_beside(folder, bytes)?.persist(path)?;
    Ok(())
}

/// Writes a file durably, as [`write_file`] does, if nothing has its name. `mode` is its mode, before the umask.
///
/// # Errors
///
/// Fails if something has the name, or the file or its folder cannot be written or synced.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = parent(path)?;
    let mut temporary = tempfile::Builder::new();
    temporary.prefix(TEMPORARY_PREFIX).permissions(fs::Permissions::from_mode(mode));
    let mut file = temporary.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    sync_folder(folder)
}

/// Appends to a file, created if it is missing, without syncing. After `kill -9` or on a full disk the last bytes
/// may be missing, after a power cut all of them. Readers of the file must detect that.
///
/// # Errors
///
/// Fails if the file cannot be created or written.
pub fn append_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = || File::options().append(true).create(true).mode(0o600).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(parent(path)?)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(bytes)
}

/// Renames `from`, whose bytes must be synced already, to `to` on the same file system, replacing an existing file,
/// and forces the new name to the disk. Missing parent folders of `to` are created.
///
/// # Errors
///
/// Fails if the file cannot be renamed or the folder cannot be synced.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let folder = parent(to)?;
    create_folder(folder)?;
    fs::rename(from, to)?;
    sync_folder(folder)
}

/// Copies a file into a folder under the same name, and forces the copy to the disk.
///
/// # Errors
///
/// Fails if the file cannot be read or the copy cannot be written.
pub fn copy_into(folder: &Path, file: &Path) -> io::Result<()> {
    let name = file.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    let mut copy = NewFile::begin(&folder.join(name))?;
    io::copy(&mut File::open(file)?, &mut copy)?;
    copy.rename()?;
    sync_folder(folder)
}

/// Removes a file durably. Returns true if it was there.
///
/// # Errors
///
/// Fails if the file cannot be removed or its folder cannot be synced.
pub fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(parent(path)?).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file, but does not force that to the disk. Returns true if there was one.
///
/// # Errors
///
/// Fails if it cannot be removed.
pub fn unlink(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates a folder and its missing parents, and forces their names to the disk.
///
/// # Errors
///
/// Fails if a folder cannot be created or synced.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(above)?;
    // The mode of the folder protects its content, because libraries such as sled choose the modes of their files.
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => sync_folder(above),
        // Another thread has created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the number of bytes that this user may still write to the file system of this folder.
///
/// # Errors
///
/// Fails if the file system does not report its free space.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    Ok(total_and_free_bytes(folder)?.1)
}

/// Returns the size in bytes of the file system of this folder, and the number of bytes that this user may still
/// write to it.
///
/// # Errors
///
/// Fails if the file system does not report them.
pub fn total_and_free_bytes(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Forces the names in a folder to the disk.
///
/// # Errors
///
/// Fails if the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_beside(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn parent(path: &Path) -> io::Result<&Path> {
    let parent = path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    Ok(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

#[cfg(test)]
mod tests;
