//! Reasons why an embedded store was not moved into a fleet.

use std::path::PathBuf;

use crate::admin::engines::SecretError;
use crate::admin::keys::KeysError;
use crate::auth::jwt::KeyError;
use crate::store::error::{OpenError, StoreError};

/// Reason why a store was not moved, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The folder has no identities.
    #[error(
        "there are no identities in {}: storage.data_dir must name the data folder of a service without a fleet. A fleet that \
         begins with none needs no such command", .0.display()
    )]
    NoIdentities(PathBuf),
    /// A folder cannot be used, for example because a service is running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read, or an engine has failed. Nothing was moved, unless an earlier run has.
    #[error("nothing was moved: {0}")]
    Store(#[from] StoreError),
    /// The secret of the fleet cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The keys of groups' accounts cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys of the fleet cannot be used.
    #[error("the keys of groups' accounts: {0}")]
    FleetKeys(#[from] KeyError),
    /// The database has identities that did not come from this folder.
    #[error(
        "nothing was moved: the database of fleet.database_url has users, groups or tokens that are not from {}. Name an empty \
         database", .0.display()
    )]
    Occupied(PathBuf),
    /// A replica may be running on the database.
    #[error(
        "nothing was moved: {0} registered in the database of fleet.database_url may be running. Stop all replicas; one that was \
         killed counts for an hour (fleet.without_database), unless it starts again and is stopped"
    )]
    Replicas(String),
    /// Not all content could be uploaded.
    #[error(
        "identities and index are moved, {left} manifests and blobs are not yet: {error}. The same command goes on; a replica that \
         starts on this folder uploads them, too"
    )]
    Upload {
        /// Number of contents that are left.
        left: usize,
        /// The failure of an engine.
        error: StoreError,
    },
    /// The connection was lost at the end of the move.
    #[error("it is not known whether identities and index are moved: {}. The same command finds out, and goes on", .0.reason())]
    Unknown(StoreError),
    /// Identities and index are moved, and a step after that has failed.
    #[error(
        "identities and index are moved, but {0}. Run the same command again before a replica starts on this folder"
    )]
    After(StoreError),
}
