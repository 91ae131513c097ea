//! Reasons why nothing was restored, with sentences for the operator.

use std::path::{Path, PathBuf};

use crate::admin::engines::SecretError;
use crate::auth::jwt::KeyError;
use crate::store::error::{OpenError, StoreError};

/// Reason why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder cannot be used, for example because a service is running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup cannot be read.
    #[error("{} cannot be used as a backup: {}", path.display(), reason(path, error))]
    Export {
        /// A backup, an export, a journal or the folder of a database.
        path: PathBuf,
        /// The problem with it.
        error: StoreError,
    },
    /// Regained credentials were to stay revoked, and cannot be determined.
    #[error(
        "nothing was restored: --revoke-them is impossible, because the changes after the backup are not known: {0}"
    )]
    NotComparable(String),
    /// The backup belongs to another installation than the present identities.
    #[error(
        "nothing was restored: {} is of another installation than the identities in {}. To replace these by those of \
         the other installation, add --from-another-installation", backup.display(), data.display()
    )]
    OtherInstallation {
        /// The backup.
        backup: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The backup contains no user.
    #[error("the backup {} contains no user", .0.display())]
    Empty(PathBuf),
    /// The settings of the backup place the signing keys elsewhere than in the data folder.
    #[error(
        "nothing was restored: the settings of this backup place the signing keys in {0}, and a restore replaces them. \
         Add --key-file with the path of the file to replace"
    )]
    KeysElsewhere(String),
    /// The settings of the backup place the keys of groups' accounts elsewhere than in the data folder.
    #[error(
        "nothing was restored: the settings of this backup place the keys of groups' accounts in {0}, and the backup has \
         such keys. Add --account-key-file with the path of the file to put them into"
    )]
    AccountKeysElsewhere(String),
    /// The database of the fleet has identities.
    #[error(
        "nothing was restored: the database of fleet.database_url has users, groups or tokens, and a backup is restored into an empty \
         database. Name another one, or put a dump of pg_dump in the place of this one with pg_restore, while all replicas are stopped"
    )]
    Occupied,
    /// A replica may be running on the database.
    #[error(
        "nothing was restored: {0} replicas are registered in the database of fleet.database_url; stop all replicas first"
    )]
    Replicas(u64),
    /// An engine of the fleet has failed.
    #[error("nothing was restored: {0}")]
    Engine(StoreError),
    /// The connection to the database was lost at the end.
    #[error("it is not known whether the backup is restored: {}. Repeat it: it is refused if it is there", .0.reason())]
    UnknownEnd(StoreError),
    /// The secret of the fleet cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The signing keys cannot be written as JSON.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The file for the settings exists, or cannot be written.
    #[error("nothing was restored: the settings cannot be written to {}: {error}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
}

/// Returns the text of the error of a backup, which is about the file, not about the store.
fn reason<'a>(path: &Path, error: &'a StoreError) -> &'a str {
    error.reason().strip_prefix(&format!("{}: ", path.display())).unwrap_or(error.reason())
}
