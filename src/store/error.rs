//! Errors of the store, as its callers see them. Contains no types of sled.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::atomic_file;

/// A failed read or change of the store. Cheap to clone, so that every waiting caller can get a copy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The operating system reported an error.
    #[error("the store failed: {0}")]
    Io(String),
    /// The content that was read is not the content that was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An engine that several replicas share has failed.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The store is closed, because the process ends. Nothing was changed.
    #[error("the service is stopping")]
    Closed,
}

/// A failure of an engine that several replicas share. Its text has the message of the engine, which is for the
/// operator: clients get [`Self::for_clients`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The database cannot be reached. Nothing was changed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database has refused a statement. Nothing was changed.
    #[error("the database has refused it: {0}")]
    Refused(String),
    /// The database is not one that replicas can share.
    #[error("the database cannot be used: {0}")]
    UnsuitableDatabase(String),
    /// A later release has upgraded the database, and this program does not work with it.
    #[error(
        "the database was upgraded by a later release, with which this program does not work: it knows the schema up to number {known}, \
         and must know number {needed}. Start the later release again"
    )]
    LaterSchema {
        /// The last migration that a program must know.
        needed: i32,
        /// The last one that this program knows.
        known: i32,
    },
    /// The database is not one of this release: no replica has used it, or only replicas of an earlier release.
    #[error(
        "the database does not have the schema of this release: it has number {found} (0: none), and this is number {known}. A replica \
         upgrades it at its start"
    )]
    NoSchema {
        /// The last migration of the database; 0: it has none.
        found: i32,
        /// The last one that this program knows.
        known: i32,
    },
    /// The object store cannot be reached, or has refused a request.
    #[error("the object store failed: {0}")]
    ObjectStore(String),
    /// The object store cannot hold a change log.
    #[error("the object store cannot be used: {0}")]
    Unsuitable(String),
    /// The connection to the database was lost during a change, which may be stored or not.
    #[error(
        "the connection to the database was lost: nobody knows whether the change is stored. Look at the result, and repeat it if it \
         is not there"
    )]
    Unknown,
    /// A change is stored, and a replica may still decide without it.
    #[error(
        "the change is stored, but not confirmed by all replicas: some may go on as before for a time. Repeat it to be sure"
    )]
    Unconfirmed,
}

impl FleetError {
    /// Returns the failure and what to do about it, without the message of the engine: that may have names of hosts,
    /// users and tables.
    pub fn for_clients(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the database of this service cannot be reached; try again shortly",
            Self::Refused(_) => {
                "the database of this service has refused it; try again, and ask the operator if that fails, too"
            }
            Self::LaterSchema { .. } | Self::NoSchema { .. } | Self::UnsuitableDatabase(_) => {
                "the database of this service cannot be used; ask the operator"
            }
            Self::ObjectStore(_) => "the object store of this service does not respond; try again shortly",
            Self::Unsuitable(_) => "the object store of this service cannot be used; ask the operator",
            Self::Unknown => {
                "the connection to the database was lost: nobody knows whether the change is stored. Look at the \
                 result, and repeat it if it is not there"
            }
            Self::Unconfirmed => {
                "the change is stored, but not confirmed by all replicas: some may go on as before for a time. Repeat \
                 it to be sure"
            }
        }
    }
}

impl StoreError {
    /// Returns the failure without what only the operator may see, as [`FleetError::for_clients`] does.
    pub fn for_clients(&self) -> &'static str {
        match self {
            Self::Full => "the disk is full",
            Self::Io(_) | Self::Damaged(_) => "the log of this service has the reason; ask the operator",
            Self::Fleet(error) => error.for_clients(),
            Self::Closed => "the service is stopping; try again shortly",
        }
    }

    /// Returns the reason without the words about the store, for an error of a file that a person named.
    pub fn reason(&self) -> &str {
        match self {
            Self::Full => "the disk is full",
            Self::Closed => "the service is stopping",
            Self::Fleet(FleetError::Unknown) => "the connection to the database was lost",
            Self::Fleet(FleetError::Unconfirmed) => "not all replicas have confirmed it",
            Self::Fleet(FleetError::LaterSchema { .. } | FleetError::NoSchema { .. }) => {
                "the database is one of another release"
            }
            Self::Fleet(
                FleetError::Unreachable(reason)
                | FleetError::Refused(reason)
                | FleetError::UnsuitableDatabase(reason)
                | FleetError::ObjectStore(reason)
                | FleetError::Unsuitable(reason),
            ) => reason,
            Self::Io(reason) | Self::Damaged(reason) => reason,
        }
    }
}

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
    /// The folder cannot be written.
    #[error(
        "{} cannot be written by user {uid}: {error}. To give it to this user: {}chown -R {uid} '{}'",
        .path.display(), if .path.is_dir() { String::new() } else { format!("mkdir -p '{}' && ", .path.display()) },
        .path.display()
    )]
    NotWritable {
        /// The folder.
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

    /// Returns the error for a failure of the file or folder at `path`. For a full disk it states how many of the
    /// `needed` bytes are missing on the disk of `data`.
    pub(super) fn of(path: &Path, error: StoreError, data: &Path, needed: u64) -> Self {
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
            // sled reports damage in various ways: it takes a damaged settings file for one of an older version.
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
