//! A large file that gets its name once it is complete.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{TEMPORARY_PREFIX, parent};

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
    /// itself is durable only after [`sync_name`](super::sync_name).
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
