//! Backup of a data folder: identities, settings and, if wanted, secrets. It takes no lock, so that a service can run
//! on the folder. It reads files on this machine instead of requesting the data from the service, because then neither
//! identities nor keys cross the network, no token can request them, and it works while the service is stopped.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::keys::{self, KeysError};
use crate::domain::chosen_setting::ChosenSetting;
pub use crate::store::embedded::backup::Output;
use crate::store::embedded::backup::Snapshot;
use crate::store::embedded::restorable::Beside;
use crate::store::error::StoreError;

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
    let snapshot = match Snapshot::of(data) {
        Ok(Some(snapshot)) if !snapshot.directory.is_empty() => snapshot,
        Ok(_) => return Err(BackupError::NoIdentities(data.to_owned())),
        Err(error) => return Err(BackupError::Identities { path: data.to_owned(), error }),
    };
    let written = output.write(|to| snapshot.write_backup(to, &beside, program, now));
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
