//! What can go wrong with the store, as its callers see it. Never names sled's own types.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;

/// A read or a change of the store failed. Cheap to clone, so that everyone who waits can have it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The system refused.
    #[error("the store failed: {0}")]
    Io(String),
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// What puts back the most of identities that cannot be opened.
#[derive(Debug)]
pub struct Advice {
    /// The folder of all data.
    pub data: PathBuf,
    /// The newest of the files that can be restored: an export, the database or the journal.
    pub source: PathBuf,
    /// The number of the last change in it that can be read, where more follows.
    pub up_to: Option<u64>,
    /// The number after which a restore of it may lose changes; none where it loses nothing.
    pub loses_after: Option<u64>,
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
            "The newest copy that can be read is put in their place, and what is there is kept aside, by: \
             dependency-proxy admin restore --data {} --from {}",
            self.data.display(),
            self.source.display()
        )?;
        self.up_to.map_or(Ok(()), |number| write!(f, " --up-to {number}"))
    }
}

/// The store cannot be used at all: the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; only one may use it at a time", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be written.
    #[error(
        "{} cannot be written by user {uid}: {error}. To give it to this user: {}chown -R {uid} '{}'",
        .path.display(), if .path.is_dir() { String::new() } else { format!("mkdir -p '{}' && ", .path.display()) },
        .path.display()
    )]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The user that this process runs as.
        uid: u32,
        /// What the system said.
        error: io::Error,
    },
    /// The identities cannot be read, or are not all there. They are made anew only by `admin restore`.
    #[error("the identities in {} cannot be opened: {reason}. Nothing was changed. {advice}", .folder.display())]
    Identities {
        /// Where they are.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
        /// The way out.
        advice: Box<Advice>,
    },
    /// There is too little space for what has to be written before anything else.
    #[error("the disk of {} is full, its reserve included: free {} MiB at least", .path.display(), .missing.div_ceil(1 << 20))]
    Full {
        /// The file or folder that was to be written.
        path: PathBuf,
        /// How many bytes are missing.
        missing: u64,
    },
    /// Something else in the folder failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        error: StoreError,
    },
}

impl OpenError {
    /// What failed with this file or folder. On a full disk it says how many bytes are missing of those that have to be free on the disk of
    /// `data`.
    pub(super) fn of(path: &Path, error: StoreError, data: &Path, needed: u64) -> Self {
        let path = path.to_owned();
        match error {
            StoreError::Full => {
                let free = durable::free_bytes(data).unwrap_or(0);
                Self::Full { path, missing: needed.saturating_sub(free).max(1) }
            }
            StoreError::Io(_) | StoreError::Damaged(_) => Self::Io { path, error },
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full
        } else if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) {
            Self::Damaged(error.to_string())
        } else {
            Self::Io(error.to_string())
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => error.into(),
            // Damage has many faces: a damaged file of settings is taken for one of an older version.
            sled::Error::Corruption { .. }
            | sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_) => Self::Damaged(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}
