//! Atomic file replacement: write to a temporary file beside the target, sync, rename. Small files that can be made
//! again may skip the sync; only links are appended in place.
//!
//! All functions block. Files are created with mode 0600 and folders with mode 0700, for this service's user only.
//! A process that is killed while writing leaves a temporary file, which [`TempFileSweep`] removes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

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

/// A large file that is written in chunks to a temporary file beside its later name.
pub struct NewFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl NewFile {
    /// Creates the temporary file for `path`, whose folder must exist.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be created.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(parent(path)?)?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path: path.to_owned() })
    }

    /// Forces the bytes written so far to the disk.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written or synced.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().as_file().sync_all()
    }

    /// Forces the file to the disk and renames it to its final name, replacing an existing file. The new name
    /// itself is durable only after [`sync_name`].
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written, synced or renamed.
    pub fn rename(mut self) -> io::Result<File> {
        self.sync()?;
        self.rename_synced()
    }

    /// Renames a file after [`Self::sync`], as [`Self::rename`] does, without waiting for the disk.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be renamed.
    pub fn rename_synced(self) -> io::Result<File> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(file.persist(&self.path)?)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
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

/// Removes a file durably. Returns whether it was there.
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

/// Removes a file, but does not force that to the disk. Returns whether there was one.
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

/// Temporary files below some folders that killed processes have left behind.
#[derive(Clone, Debug)]
pub struct TempFileSweep {
    folders: Vec<PathBuf>,
    before: SystemTime,
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
pub(super) fn remove_files_below(
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
pub(super) fn is_temporary(name: &str) -> bool {
    is_leftover(OsStr::new(name))
}

fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
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
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
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
    fn a_new_file_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_new(&path, b"one", 0o600).unwrap();
        assert_eq!(write_new(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), fs::read_dir(folder.path()).unwrap().count()), (b"one".to_vec(), 1));
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
    fn what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        create_folder(&below).unwrap();
        let left = write_beside(&below, b"x").unwrap();
        write_file(&below.join("file"), b"whole").unwrap();
        let mut leftovers = TempFileSweep::below(&[folder.path(), &below]);
        leftovers.before = fs::metadata(left.path()).unwrap().modified().unwrap();
        assert_eq!(leftovers.remove().unwrap(), 0);
        leftovers.before += std::time::Duration::from_secs(1);
        assert_eq!(leftovers.remove().unwrap(), 1);
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
    }
}
