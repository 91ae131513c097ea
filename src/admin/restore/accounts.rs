//! The keys of groups' accounts at a restore: those of the backup are put before the present ones, of which none is
//! removed, because they open nothing by themselves.

use std::path::{Path, PathBuf};

use crate::admin::keys;
use crate::auth::jwt::KeySet;
use crate::auth::sealing::SealingKeys;
use crate::domain::directory::Directory;
use crate::store::key_file;

/// The accounts of groups after a restore.
#[derive(Debug)]
pub struct Accounts {
    /// The file of their keys.
    pub key_file: PathBuf,
    /// True if the keys of the backup were put into the file.
    pub of_backup: bool,
    /// The accounts whose passwords cannot be decrypted, each with its group and upstream.
    pub to_enter: Vec<String>,
    /// The reason why the keys of the backup could not be put into the file.
    pub problem: Option<String>,
}

/// Puts the keys of the backup into the key file, and finds the accounts that no key opens.
pub(super) fn restore(directory: &Directory, of_backup: Option<KeySet>, path: PathBuf, data: &Path) -> Accounts {
    let present = keys::read_if_any(&path).unwrap_or_default();
    let (from_backup, mut problem) = (of_backup.is_some(), None);
    let known = match (of_backup, present) {
        (Some(of_backup), Some(present)) => Some(of_backup.and(present)),
        (of_backup, present) => of_backup.or(present),
    };
    if let Some(keys) = known.as_ref().filter(|_| from_backup) {
        let json = keys.to_json().map_err(|error| error.to_string());
        let written = json.and_then(|json| key_file::write(&path, data, &json).map_err(|error| error.to_string()));
        problem = written.err();
    }
    let sealing = known.filter(|_| problem.is_none()).and_then(|keys| SealingKeys::new(&keys).ok());
    let to_enter = unreadable(directory, sealing.as_ref());
    Accounts { key_file: path, of_backup: from_backup && problem.is_none(), to_enter, problem }
}

fn unreadable(directory: &Directory, keys: Option<&SealingKeys>) -> Vec<String> {
    let mut found = Vec::new();
    for group in directory.choosing_groups() {
        for (upstream, account) in &group.upstream_accounts {
            let opened = keys.map(|keys| keys.open(&account.secret, account.binding(group.id, upstream)));
            if opened.is_none_or(|opened| opened.is_err()) {
                found.push(format!("the account '{}' of the group {} at {upstream}", account.username, group.path));
            }
        }
    }
    found
}
