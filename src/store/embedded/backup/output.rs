//! The target of a backup, which only its owner can read: a file, which is replaced as a whole, or standard output.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::FORMAT;
use crate::store::atomic_file::{self, NewFile};
use crate::store::embedded::changes;
use crate::store::error::StoreError;

/// The target of a backup.
#[derive(Clone, Debug)]
pub enum Output {
    /// Standard output. If it is a file, others lose the permission to read it.
    Standard,
    /// A new file with mode 0600, in place of an earlier backup, if there is one.
    File(PathBuf),
}

/// Maximum length of the first line of a backup.
const MAX_HEADER_BYTES: u64 = 4096;

impl Output {
    /// Passes the target to `write`. A file gets its name only once all of it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the path names anything but a backup or an empty file, if the target cannot be written, or if `write`
    /// fails.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match self {
            Self::Standard => {
                let mut to = BufWriter::with_capacity(1 << 16, private_standard_output()?);
                write(&mut to)?;
                Ok(to.flush()?)
            }
            Self::File(path) => {
                check_replaceable(path)?;
                let mut new = NewFile::begin(path)?;
                write(&mut new)?;
                new.rename()?;
                Ok(atomic_file::sync_name(path)?)
            }
        }
    }
}

/// Fails if anything is at this path that a backup must not replace.
fn check_replaceable(path: &Path) -> Result<(), StoreError> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.is_file() {
        return Err(StoreError::Io("it is not a regular file".to_owned()));
    }
    let mut first = Vec::new();
    BufReader::new(File::open(path)?.take(MAX_HEADER_BYTES)).read_until(b'\n', &mut first)?;
    if there.len() == 0 || changes::is_of(FORMAT, &first) {
        return Ok(());
    }
    Err(StoreError::Io("it exists already and is not a backup: name another file".to_owned()))
}

/// Returns standard output. If it is a file, makes it readable for its owner only.
fn private_standard_output() -> io::Result<File> {
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let found = output.metadata()?;
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        output.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(output)
}
