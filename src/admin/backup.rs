//! Backup of a data folder, or of the database of a fleet: identities, settings and, if wanted, secrets. It takes no
//! lock, so that a service can run on the folder. It reads files on this machine instead of requesting the data from
//! the service, because then neither identities nor keys cross the network, no token can request them, and it works
//! while the service is stopped.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::engines::{Engines, SecretError};
use super::keys::{self, KeysError};
use crate::auth::fleet_secret::Purpose;
use crate::domain::chosen_setting::ChosenSetting;
use crate::store::embedded::backup::FolderSnapshot;
pub use crate::store::embedded::backup::Output;
use crate::store::embedded::restorable::Beside;
use crate::store::error::StoreError;
use crate::store::fleet::Database;

/// The content of a backup that was written.
#[derive(Debug)]
pub struct BackedUp {
    /// Number of users.
    pub users: usize,
    /// Number of groups.
    pub groups: usize,
    /// Number of tokens that are not deleted.
    pub tokens: usize,
    /// Number of the last change of identities in it.
    pub change: u64,
    /// True if the journal ends with an incomplete change, which is left out.
    pub incomplete: bool,
}

/// Reason why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder contains no identities.
    #[error(
        "there are no identities in {}: name the data folder of a service that has been started once, with --data or with \
         storage.data_dir in the settings", .0.display()
    )]
    NoIdentities(PathBuf),
    /// The identities cannot be read.
    #[error("the identities in {} cannot be read: {}{}", path.display(), error.reason(), way_out(error))]
    Identities {
        /// The data folder.
        path: PathBuf,
        /// The problem with them.
        error: StoreError,
    },
    /// The signing keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database of a fleet cannot be read.
    #[error("the identities of the fleet cannot be read: {0}")]
    Database(StoreError),
    /// The database of a fleet has no identities.
    #[error("there are no identities in the database of fleet.database_url")]
    EmptyFleet,
    /// The secret of the fleet cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The backup cannot be written.
    #[error("the backup cannot be written to {target}: {}", error.reason())]
    Output {
        /// The file, or standard output.
        target: String,
        /// The problem with it.
        error: StoreError,
    },
}

/// Returns a sentence about what to do, if the journal is damaged.
fn way_out(error: &StoreError) -> &'static str {
    match error {
        StoreError::Damaged(_) => {
            ". A running service rewrites a damaged journal after the next change; a stopped one says at its start how \
             to restore it"
        }
        StoreError::Full | StoreError::Io(_) | StoreError::Closed | StoreError::Fleet(_) => "",
    }
}

/// Backs up the identities of a fleet with these settings, beside its replicas. Every change that was acknowledged
/// before is in it. `program` is the version of this program.
///
/// # Errors
/// There are no identities, the database or the secret cannot be read, or the backup cannot be written.
pub async fn back_up_fleet(
    engines: &Engines,
    with_keys: bool,
    settings: Vec<ChosenSetting>,
    output: &Output,
    program: &str,
) -> Result<BackedUp, BackupError> {
    let secret = with_keys.then(|| engines.secret()).transpose()?;
    let keys = |purpose| secret.as_ref().map(|secret| secret.keys(purpose));
    let (signing_keys, account_keys) = (keys(Purpose::LoginTokens), keys(Purpose::Accounts));
    let beside = Beside { settings, signing_keys, account_keys };
    let now = Timestamp::now();
    let database = Database::connect_as_it_is(&engines.database).await.map_err(BackupError::Database)?;
    if let Some(secret) = secret {
        // Keys of another one would decrypt nothing.
        database.check_secret(&secret.ids()).await.map_err(BackupError::Database)?;
    }
    let all = engines.identities(&database).all().await.map_err(BackupError::Database)?;
    if all.directory.is_empty() {
        return Err(BackupError::EmptyFleet);
    }
    let snapshot = FolderSnapshot::from_all(all).map_err(BackupError::Database)?;
    write(&snapshot, &beside, output, (program, now))
}

/// Backs up the identities below `data` with these settings, beside the service that may be running there. Every change
/// that was acknowledged before is in it. `key_files` are the files of the signing keys and of the keys of groups'
/// accounts, if they are wanted; `program` is the version of this program. Blocks.
///
/// # Errors
/// There are no identities, a file cannot be read, or the backup cannot be written. A file that was there is unchanged.
pub fn back_up(
    data: &Path,
    key_files: Option<(&Path, &Path)>,
    settings: Vec<ChosenSetting>,
    output: &Output,
    program: &str,
) -> Result<BackedUp, BackupError> {
    let signing_keys = key_files.map(|(signing, _)| keys::read(signing)).transpose()?;
    let account_keys = match key_files {
        Some((_, accounts)) => keys::read_if_any(accounts)?,
        None => None,
    };
    let beside = Beside { settings, signing_keys, account_keys };
    let now = Timestamp::now();
    let snapshot = match FolderSnapshot::of(data) {
        Ok(Some(snapshot)) if !snapshot.directory.is_empty() => snapshot,
        Ok(_) => return Err(BackupError::NoIdentities(data.to_owned())),
        Err(error) => return Err(BackupError::Identities { path: data.to_owned(), error }),
    };
    write(&snapshot, &beside, output, (program, now))
}

fn write(
    snapshot: &FolderSnapshot,
    beside: &Beside,
    output: &Output,
    (program, now): (&str, Timestamp),
) -> Result<BackedUp, BackupError> {
    let written = output.write(|to| snapshot.write_backup(to, beside, program, now));
    written.map_err(|error| BackupError::Output { target: name(output), error })?;
    let directory = &snapshot.directory;
    Ok(BackedUp {
        users: directory.users().count(),
        groups: directory.groups().count(),
        tokens: directory.tokens().count(),
        change: snapshot.number(),
        incomplete: snapshot.incomplete,
    })
}

fn name(output: &Output) -> String {
    match output {
        Output::Standard => "standard output".to_owned(),
        Output::File(path) => path.display().to_string(),
    }
}
