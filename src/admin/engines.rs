//! The engines of a fleet, for commands that work without a replica.

use std::path::PathBuf;

use crate::auth::fleet_secret::{FleetSecret, FleetSecretError};
use crate::domain::fleet::validity::Bound;
use crate::store::error::OpenError;
use crate::store::fleet::{BucketOptions, Database, DatabaseOptions, FleetIdentities, SecretFileError, read_secret};

/// The engines as the settings name them.
#[derive(Clone, Debug)]
pub struct Engines {
    /// The database.
    pub database: DatabaseOptions,
    /// The object store.
    pub bucket: BucketOptions,
    /// The file of the secret of the fleet.
    pub secret_file: PathBuf,
    /// The bound of the settings.
    pub bound: Bound,
}

/// Reason why the secret of a fleet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The file does not exist.
    #[error("fleet.secret_file: {} does not exist", .0.display())]
    Missing(PathBuf),
    /// Others than the owner have access to the file.
    #[error("fleet.secret_file: other users have access to {path}: run chmod 600 {path}", path = .0.display())]
    Loose(PathBuf),
    /// The content is no secret.
    #[error("fleet.secret_file: {}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem with it.
        error: FleetSecretError,
    },
}

impl Engines {
    /// Reads the secret of the fleet.
    ///
    /// # Errors
    /// Fails if the file cannot be read, if other users have access to it, or if it has no secret.
    pub(super) fn secret(&self) -> Result<FleetSecret, SecretError> {
        let path = || self.secret_file.clone();
        read_secret(&self.secret_file).map_err(|error| match error {
            SecretFileError::File(error) => SecretError::File(error),
            SecretFileError::Missing => SecretError::Missing(path()),
            SecretFileError::Loose(_) => SecretError::Loose(path()),
            SecretFileError::Content(error) => SecretError::Content { path: path(), error },
        })
    }

    /// Returns the identities in this database, for a process that is no replica.
    pub(super) fn identities(&self, database: &Database) -> FleetIdentities {
        FleetIdentities::of_nobody(database.clone(), self.bound)
    }
}
