//! Errors that keep the service from starting.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::StoreError;
use crate::store::atomic_file;

/// Advice for identities that cannot be opened: the restore that loses the fewest changes.
#[derive(Debug)]
pub struct Advice {
    /// The data folder.
    pub data: PathBuf,
    /// The newest copy that can be restored: an export, the database or the journal.
    pub source: PathBuf,
    /// Number of the last readable change in the copy, where unreadable ones follow.
    pub up_to: Option<u64>,
    /// Number of the change after which a restore of this copy may lose changes; `None` if it loses none.
    pub loses_after: Option<u64>,
    /// The file of the signing keys, which a restore replaces; `None`: the one in the data folder.
    pub key_file: Option<PathBuf>,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.loses_after {
            write!(
                f,
                "What can be read ends with change {number}: changes after number {number}, if there were any, are lost, and credentials \
                 that they revoked become valid again. "
            )?;
        }
        write!(
            f,
            "To restore the newest readable copy and keep the current files aside, run: \
             dependency-proxy admin restore --data {} --from {}",
            self.data.display(),
            self.source.display()
        )?;
        self.up_to.map_or(Ok(()), |number| write!(f, " --up-to {number}"))?;
        self.key_file.as_ref().map_or(Ok(()), |path| write!(f, " --key-file {}", path.display()))
    }
}

/// An error that makes the store unusable: the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has locked the folder.
    #[error("{} is in use by another process; only one may use it at a time", .0.display())]
    InUse(PathBuf),
    /// The path, or a part of it, is no folder.
    #[error("{} cannot be used as a folder: it, or a part of its path, is a file", .0.display())]
    NoFolder(PathBuf),
    /// The folder, or the file or folder in it, cannot be read or written.
    #[error(
        "{} cannot be used by user {uid}: {error}. To give it to this user: {}chown -R {uid} '{}'",
        .path.display(), if .path.exists() { String::new() } else { format!("mkdir -p '{}' && ", .path.display()) },
        .path.display()
    )]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// User id of this process.
        uid: u32,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The identities cannot be read, or some are missing. Only `admin restore` replaces them.
    #[error("the identities in {} cannot be opened: {reason}. Nothing was changed. {advice}", .folder.display())]
    Identities {
        /// The folder of the database of identities.
        folder: PathBuf,
        /// The problem, as a sentence for the operator.
        reason: String,
        /// The restore that solves it.
        advice: Box<Advice>,
    },
    /// The cache folder is the mount point of a disk that is not mounted.
    #[error(
        "the cache folder {} is empty, and before it was on a disk of its own: mount that disk and start again. To begin with an \
         empty cache here, remove '{}'",
        .folder.display(), .known.display()
    )]
    Unmounted {
        /// The folder.
        folder: PathBuf,
        /// The file with the path at which the cache was.
        known: PathBuf,
    },
    /// A newer program has written the folder.
    #[error(
        "{} was written by a newer version{}: it has layout {found}, and dependency-proxy {} knows layouts up to {known}. Start the \
         newer version again, or {way_out}",
        .folder.display(), if .writer.is_empty() { String::new() } else { format!(", {}", .writer) }, env!("CARGO_PKG_VERSION")
    )]
    LaterLayout {
        /// The data folder or the cache folder.
        folder: PathBuf,
        /// Number of its layout.
        found: u64,
        /// The program that wrote it; empty if it is unknown.
        writer: String,
        /// Number of the last layout that this program knows.
        known: u64,
        /// The way out, as a part of a sentence.
        way_out: &'static str,
    },
    /// The file with the number of a layout has no number.
    #[error("{} does not begin with the number of a layout. If no newer version has used the folder, remove this file", .path.display())]
    NoLayout {
        /// The file.
        path: PathBuf,
    },
    /// The disk has too little free space for what must be written first.
    #[error("the disk of {} is full and its reserve is used: free at least {} MiB", .path.display(), .missing.div_ceil(1 << 20))]
    Full {
        /// The file or folder that was to be written.
        path: PathBuf,
        /// Number of bytes to free.
        missing: u64,
    },
    /// A file or folder cannot be used for another reason.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        error: StoreError,
    },
}

impl OpenError {
    /// Adds the file of the signing keys to the advice, if the settings name one: the store does not know it.
    pub fn with_key_file(mut self, path: Option<&Path>) -> Self {
        if let Self::Identities { advice, .. } = &mut self {
            advice.key_file = path.map(Path::to_owned);
        }
        self
    }

    /// Returns the error for a file or folder that this process cannot use.
    pub(in crate::store) fn unusable(path: &Path, error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) {
            return Self::NoFolder(path.to_owned());
        }
        let uid = rustix::process::geteuid().as_raw();
        Self::NotWritable { path: path.to_owned(), uid, error }
    }

    /// Returns the error for a failure of the file or folder at `path`. For a full disk it states how many of the
    /// `needed` bytes are missing on the disk of `data`.
    pub(in crate::store) fn of(path: &Path, error: StoreError, data: &Path, needed: u64) -> Self {
        let path = path.to_owned();
        match error {
            StoreError::Full => {
                let free = atomic_file::free_bytes(data).unwrap_or(0);
                Self::Full { path, missing: needed.saturating_sub(free).max(1) }
            }
            StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed | StoreError::Fleet(_) => {
                Self::Io { path, error }
            }
        }
    }
}
