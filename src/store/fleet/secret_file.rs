//! The file of the secret that all replicas share.

use std::path::Path;

use crate::auth::fleet_secret::{FleetSecret, FleetSecretError};
use crate::store::data_dir::{LooseMode, loose_mode, read_if_any};
use crate::store::error::OpenError;

/// Reason why the secret of a fleet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The file does not exist.
    #[error("it does not exist")]
    Missing,
    /// Others than the owner have access to the file.
    #[error("{0}")]
    Loose(LooseMode),
    /// The content is no secret.
    #[error(transparent)]
    Content(#[from] FleetSecretError),
}

/// Reads the secret of a fleet.
///
/// # Errors
///
/// Fails if the file cannot be read, if others have access to it, or if it has no secret.
pub fn read_secret(path: &Path) -> Result<FleetSecret, SecretFileError> {
    let text = read_if_any(path)?.ok_or(SecretFileError::Missing)?;
    if let Some(loose) = loose_mode(path)? {
        return Err(SecretFileError::Loose(loose));
    }
    Ok(FleetSecret::from_lines(&text)?)
}
