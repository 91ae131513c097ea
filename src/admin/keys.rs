//! The signing keys: reading, and rotation. The service reads its key file at a start only, so that it may be running.

use std::path::{Path, PathBuf};

use crate::auth::jwt::{KeyError, KeySet};
use crate::store::error::OpenError;
use crate::store::{data_dir, key_file};

/// Reason why signing keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no such file.
    #[error("there are no signing keys in {}: the service creates them at its first start", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The file contains something else.
    #[error("the signing keys in {}: {error}", path.display())]
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

/// Puts a new key before the present one in the key file of the service on the folder `data`. Older keys are removed;
/// with `now` the present one, too. The service uses the new key after a restart.
///
/// # Errors
/// The file is missing, cannot be read or written, or contains something else.
pub fn rotate(path: &Path, data: &Path, now: bool) -> Result<(), KeysError> {
    let present = read(path)?;
    let keys = if now { KeySet::generate() } else { present.rotated() };
    let json = keys.to_json().map_err(|error| KeysError::Content { path: path.to_owned(), error })?;
    Ok(key_file::write(path, data, &json)?)
}
