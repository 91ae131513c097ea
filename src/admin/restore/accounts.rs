//! The keys of groups' accounts at a restore: those of the backup are put before the present ones, of which none is
//! removed, because they open nothing by themselves.

use std::path::{Path, PathBuf};

use crate::admin::keys;
use crate::admin::resealing::unreadable;
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
    let from_backup = of_backup.is_some();
    let (known, problem) = match keys::read_if_any(&path) {
        Ok(present) => put_before(of_backup, present, &path, data),
        // Its content may be all that opens some of the accounts.
        Err(error) => (None, Some(error.to_string())),
    };
    let to_enter = unreadable(directory, known.as_ref());
    Accounts { key_file: path, of_backup: from_backup && problem.is_none(), to_enter, problem }
}

/// Writes the keys of the backup before the present ones. Returns the keys that are in the file then, and the reason
/// why those of the backup are not.
fn put_before(
    of_backup: Option<KeySet>,
    present: Option<KeySet>,
    path: &Path,
    data: &Path,
) -> (Option<SealingKeys>, Option<String>) {
    let usable = |keys: &KeySet| SealingKeys::new(keys).ok();
    let Some(of_backup) = of_backup else { return (present.as_ref().and_then(usable), None) };
    let before = present.as_ref().and_then(usable);
    let all = match present {
        Some(present) => of_backup.and(present),
        None => of_backup,
    };
    let json = all.to_json().map_err(|error| error.to_string());
    match json.and_then(|json| key_file::write(path, data, &json).map_err(|error| error.to_string())) {
        Ok(()) => (usable(&all), None),
        Err(problem) => (before, Some(problem)),
    }
}
