//! Offline reset of an administrator's password, on a store that no service has open. It restores access for
//! whoever can write to the data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::password::{self, HashError};
use crate::auth::random;
use crate::domain::audit::changes::{self, ChangeOrigin};
use crate::domain::audit::{Author, Who};
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::user::{Password, User};
use crate::store::data_dir::DataDir;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::error::{OpenError, StoreError};

/// Result of a reset.
#[derive(Debug)]
pub struct AdminReset {
    /// The user with the new password: an administrator who is not blocked.
    pub username: String,
    /// The file with the password, readable only by the owner of the data folder.
    pub password_file: PathBuf,
}

/// Reason why nothing was reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The folder contains no data.
    #[error("there is no data in {}", .0.display())]
    NoData(PathBuf),
    /// The folder cannot be used, for example because a service is running on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No user is an administrator.
    #[error("there is no administrator in {}; start the service on it once", .0.display())]
    NoAdministrator(PathBuf),
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

const PASSWORD_FILE: &str = "initial-admin-password";

/// Sets a new random password for the first administrator in this folder, and unblocks the user.
///
/// # Errors
/// The folder contains no data or no administrator, is in use, or cannot be read or written.
pub fn reset_admin(folder: &Path) -> Result<AdminReset, ResetError> {
    if !folder.join("lock").exists() {
        return Err(ResetError::NoData(folder.to_owned()));
    }
    let data = DataDir::open(folder)?;
    let store = EmbeddedIdentities::open(data.path())?;
    let directory = store.load()?;
    let found = first_administrator(&directory).ok_or_else(|| ResetError::NoAdministrator(folder.to_owned()))?;
    let secret: SecretString = hex::encode(random::bytes::<16>()).into();
    let hash = password::hash(secret.expose_secret())?;
    let now = Some(Timestamp::now());
    let password = Some(Password { credential: random::credential_id(), hash, set_at: now });
    let block_changed_at = if found.blocked { now } else { found.block_changed_at };
    let user = User { blocked: false, block_changed_at, password, ..User::clone(&found) };
    // Written before the commit: the password must not be in force while nobody can know it.
    let password_file = data.write(PASSWORD_FILE, &format!("{}\n", secret.expose_secret()))?;
    let username = user.username.to_string();
    let writes = [Write::Put(Record::User(user))];
    let mut after = directory.clone();
    after.apply(&writes);
    let origin = ChangeOrigin { author: Author::local(Who::Operator), message: "password of an administrator reset" };
    store.commit(&writes, &changes::events((&directory, &after), &writes, &origin, Timestamp::now()))?;
    store.write_export()?;
    drop(store);
    data.give_to_owner()?;
    Ok(AdminReset { username, password_file })
}

fn first_administrator(directory: &Directory) -> Option<Arc<User>> {
    directory.users().filter(|user| user.admin && user.bot_of.is_none()).min_by_key(|user| user.id).cloned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::id::UserId;

    fn user(id: u64, username: &str, admin: bool) -> Record {
        let user = User::new(UserId(id), username.parse().unwrap(), username, Timestamp::UNIX_EPOCH);
        Record::User(User { admin, blocked: true, ..user })
    }

    fn store_with(folder: &Path, records: impl IntoIterator<Item = Record>) {
        let data = DataDir::open(folder).unwrap();
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        store.commit(&records.into_iter().map(Write::Put).collect::<Vec<_>>(), &[]).unwrap();
    }

    #[test]
    fn the_first_administrator_gets_a_new_password_and_is_let_in_again() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), [user(1, "alice", false), user(2, "root", true), user(3, "other", true)]);
        let reset = reset_admin(folder.path()).unwrap();
        assert_eq!(reset.username, "root");
        let secret = std::fs::read_to_string(&reset.password_file).unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let directory = EmbeddedIdentities::open(data.path()).unwrap().load().unwrap();
        let root = directory.user(UserId(2)).unwrap();
        assert!(!root.blocked && password::verify(secret.trim_end(), &root.password.as_ref().unwrap().hash));
        assert!(directory.user(UserId(1)).unwrap().blocked);
    }

    #[test]
    fn a_store_that_is_open_or_empty_or_missing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(reset_admin(folder.path()), Err(ResetError::NoData(_))));
        assert!(!folder.path().join("lock").exists());
        store_with(folder.path(), [user(1, "alice", false)]);
        assert!(matches!(reset_admin(folder.path()), Err(ResetError::NoAdministrator(_))));
        let _running = DataDir::open(folder.path()).unwrap();
        assert!(matches!(reset_admin(folder.path()), Err(ResetError::Open(OpenError::InUse(_)))));
    }
}
