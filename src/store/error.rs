//! Errors of the store, as its callers see them. Contains no types of sled.

mod fleet;
mod open;

use std::io;

pub use self::fleet::FleetError;
pub use self::open::{Advice, OpenError};

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
            Self::Fleet(FleetError::OtherSecret) => "fleet.secret_file has another secret than the replicas",
            Self::Fleet(FleetError::OtherSignature(_)) => "the change log is signed with another secret",
            Self::Fleet(FleetError::LaterSchema { .. } | FleetError::NoSchema { .. }) => {
                "the database is one of another release"
            }
            Self::Fleet(
                FleetError::Unreachable(reason)
                | FleetError::Late(reason)
                | FleetError::Refused(reason)
                | FleetError::UnsuitableDatabase(reason)
                | FleetError::ObjectStore(reason)
                | FleetError::Unsuitable(reason),
            ) => reason,
            Self::Io(reason) | Self::Damaged(reason) => reason,
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
