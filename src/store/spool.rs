//! Files of running downloads, in `spool/` below the cache folder. Their content is not verified, and they do not
//! outlive the process. Readers that have a file open can read on after it was removed or became a blob.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::atomic_file;
use super::blob_file::{BlobFile, WriteAt};
use super::error::{OpenError, StoreError};

/// The folder of spool files. Cheap to clone. Its methods block.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    write: WriteAt,
}

/// One growing file. Deleted when dropped, unless it became a blob.
#[derive(Debug)]
pub struct SpoolFile {
    file: BlobFile,
    path: TempPath,
    write: WriteAt,
}

impl Spool {
    /// Opens the spool of this cache folder. Creates the folder if it is missing, and deletes files that a killed
    /// process has left there. Folders in it are left in place and reported.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be created or read, or if a file in it cannot be deleted.
    pub fn open(cache_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(cache_dir, |file, bytes, offset| file.write_all_at(bytes, offset))
    }

    /// Opens the spool as [`Self::open`] does, with another function to write: for tests of a failing disk.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::open`] does.
    pub fn open_with(cache_dir: &Path, write: WriteAt) -> Result<Self, OpenError> {
        let folder = cache_dir.join("spool");
        let at = |path: &Path, error: io::Error| OpenError::Io { path: path.to_owned(), error: error.into() };
        atomic_file::create_folder(&folder).map_err(|error| at(&folder, error))?;
        for entry in fs::read_dir(&folder).map_err(|error| at(&folder, error))? {
            let path = entry.map_err(|error| at(&folder, error))?.path();
            if path.is_dir() && !path.is_symlink() {
                tracing::warn!(path = %path.display(), "this folder does not belong to this service and is left in place");
                continue;
            }
            fs::remove_file(&path).map_err(|error| at(&path, error))?;
        }
        Ok(Self { folder, write })
    }

    /// Creates an empty file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be created.
    pub fn create(&self) -> Result<SpoolFile, StoreError> {
        let create = || tempfile::Builder::new().prefix("blob-").tempfile_in(&self.folder);
        let created = create().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            // Somebody has emptied the cache folder.
            atomic_file::create_folder(&self.folder)?;
            create()
        });
        let (file, path) = created?.into_parts();
        Ok(SpoolFile { file: BlobFile::new(file), path, write: self.write })
    }
}

impl SpoolFile {
    /// Returns the file, for reading the bytes written so far.
    pub fn file(&self) -> &BlobFile {
        &self.file
    }

    /// Writes all of these bytes at this offset.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        Ok(self.file.write_with(self.write, bytes, offset)?)
    }

    /// Allocates disk space for these bytes, which are about to be written, without changing the length of the file
    /// (fallocate(2), `FALLOC_FL_KEEP_SIZE`): this is faster than an allocation by each write. An error is ignored: not
    /// every file system supports it, and the writes fail if there is no space.
    pub fn allocate(&self, range: Range<u64>) {
        let _ = self.file.allocate(range);
    }

    /// Forces the bytes of the file to the disk. Fails if the disk fails.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Moves the file, which was synced, to `to`, durably. Fails if it cannot be renamed.
    pub(super) fn persist(self, to: &Path) -> io::Result<()> {
        atomic_file::rename(&self.path, to)?;
        // The file has another name now: the drop must not delete it.
        let _ = self.path.keep();
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_spool_is_emptied_at_start_and_a_dropped_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let spool_dir = folder.path().join("spool");
        fs::create_dir(&spool_dir).unwrap();
        fs::write(spool_dir.join("blob-left"), "x").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool_dir.read_dir().unwrap().count(), 0);
        let spooled = spool.create().unwrap();
        assert_eq!(spool_dir.read_dir().unwrap().count(), 1);
        drop(spooled);
        assert_eq!(spool_dir.read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_folder_in_the_spool_is_left_alone_and_a_spool_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("spool/foreign");
        fs::create_dir_all(&foreign).unwrap();
        fs::write(foreign.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("foreign", folder.path().join("spool/link")).unwrap();
        Spool::open(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(foreign.join("file")).unwrap(), "x");
        assert_eq!(folder.path().join("spool").read_dir().unwrap().count(), 1);

        fs::remove_dir_all(folder.path().join("spool")).unwrap();
        fs::write(folder.path().join("spool"), "").unwrap();
        let refused = Spool::open(folder.path()).unwrap_err().to_string();
        assert!(refused.starts_with(&folder.path().join("spool").display().to_string()), "{refused}");
    }
}
