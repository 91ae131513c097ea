//! The signing keys, and the keys of groups' accounts: reading, and rotation. The service reads its key files at a
//! start only, so that it may be running.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::auth::jwt::{KeyError, KeySet};
use crate::domain::audit::{Author, Entity, Event, Target, Who};
use crate::store::embedded::backup::FolderSnapshot;
use crate::store::error::{OpenError, StoreError};
use crate::store::{data_dir, key_file, operator_notes};

/// Reason why signing keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no such file.
    #[error("there are no signing keys in {}: the service creates them at its first start", .0.display())]
    Missing(PathBuf),
    /// There is no such file with keys of groups' accounts.
    #[error("there are no keys of groups' accounts in {}: the service creates them at its next start", .0.display())]
    MissingAccountKeys(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The identities cannot be read, so that it is not known which keys are needed.
    #[error("the identities in {} cannot be read, so that it is not known which keys are needed: {}", path.display(), error.reason())]
    Identities {
        /// The data folder.
        path: PathBuf,
        /// The problem with them.
        error: StoreError,
    },
    /// The file contains something else.
    #[error("the keys in {}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem with its content.
        error: KeyError,
    },
}

/// Reads the keys of a key file.
///
/// # Errors
/// The file is missing, cannot be read or contains something else.
pub(super) fn read(path: &Path) -> Result<KeySet, KeysError> {
    let text = data_dir::read_if_any(path)?.ok_or_else(|| KeysError::Missing(path.to_owned()))?;
    let keys = KeySet::from_json(&text).and_then(|keys| keys.check().map(|()| keys));
    keys.map_err(|error| KeysError::Content { path: path.to_owned(), error })
}

/// Reads the keys of a key file, if there is one.
///
/// # Errors
/// The file cannot be read or contains something else.
pub(super) fn read_if_any(path: &Path) -> Result<Option<KeySet>, KeysError> {
    match read(path) {
        Err(KeysError::Missing(_)) => Ok(None),
        keys => keys.map(Some),
    }
}

/// Puts a new key before those in the key file of groups' accounts of the service on the folder `data`. Keys that no
/// account in the folder needs any more are removed. The service encrypts all passwords with the new key at its next
/// start, which also adds an audit event. Returns the number of older keys that stay.
///
/// # Errors
/// The file is missing, cannot be read or written, or contains something else; or the identities cannot be read. Or the
/// event cannot be written, where the key is in the file already.
pub fn rotate_account_keys(path: &Path, data: &Path) -> Result<usize, KeysError> {
    let present = read_if_any(path)?.ok_or_else(|| KeysError::MissingAccountKeys(path.to_owned()))?;
    let snapshot = FolderSnapshot::of(data).map_err(|error| KeysError::Identities { path: data.to_owned(), error })?;
    let groups: Vec<_> = snapshot.iter().flat_map(|snapshot| snapshot.directory.choosing_groups()).collect();
    let accounts = || groups.iter().flat_map(|group| group.upstream_accounts.values());
    let first = present.first_key().map(str::to_owned);
    // A running service encrypts new passwords with the first key.
    let is_needed = |kid: &str| first.as_deref() == Some(kid) || accounts().any(|account| account.secret.key == kid);
    let keys = present.rotated_with(is_needed);
    let json = keys.to_json().map_err(|error| KeysError::Content { path: path.to_owned(), error })?;
    key_file::write(path, data, &json)?;
    let what = ("account_key_rotated", "key of the passwords of groups' accounts rotated");
    operator_notes::add(data, &rotated(path, what))?;
    Ok(keys.count() - 1)
}

/// Puts a new key before the present one in the key file of the service on the folder `data`. Older keys are removed;
/// with `now` the present one, too. The service uses the new key after a restart, which also adds an audit event.
///
/// # Errors
/// The file is missing, cannot be read or written, or contains something else. Or the event cannot be written, where
/// the key is in the file already.
pub fn rotate(path: &Path, data: &Path, now: bool) -> Result<(), KeysError> {
    let present = read(path)?;
    let keys = if now { KeySet::generate() } else { present.rotated() };
    let json = keys.to_json().map_err(|error| KeysError::Content { path: path.to_owned(), error })?;
    key_file::write(path, data, &json)?;
    let message = if now { "signing key rotated, and the old ones removed" } else { "signing key rotated" };
    Ok(operator_notes::add(data, &rotated(path, ("signing_key_rotated", message)))?)
}

/// Returns the audit event of a rotation of the keys in this file.
fn rotated(path: &Path, what: (&str, &str)) -> Event {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let target = Target { kind: "KeyFile".into(), id: None, name };
    Event::new(Timestamp::now(), Author::local(Who::Operator), what, Entity::Service, target)
}
