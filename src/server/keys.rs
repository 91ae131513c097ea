//! The keys of a server: those of the fleet, or those in the key files, which are created if they are missing.

use super::StartError;
use super::fleet::Fleet;
use crate::auth::fleet_secret::Purpose;
use crate::auth::jwt::{KeySet, Signer};
use crate::auth::sealing::SealingKeys;
use crate::settings::Settings;
use crate::store::data_dir::{DataDir, loose_mode};

/// Returns the signer with the keys of the fleet, or of the key file, which is created if it is missing.
///
/// # Errors
/// The key file cannot be read or created, or has no usable key.
pub(super) fn signer(data: &DataDir, settings: &Settings, fleet: Option<&Fleet>) -> Result<Signer, StartError> {
    let (path, keys) = match fleet {
        Some(fleet) => (fleet.secret_file().to_owned(), fleet.keys(Purpose::LoginTokens)),
        None => {
            let path = settings.auth.key_file_in(&settings.storage);
            let text = data.read_or_make(&path, || KeySet::generate().to_json())?;
            (path, KeySet::from_json(&text))
        }
    };
    let lifetime = i64::try_from(settings.auth.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let signer = keys.and_then(|keys| Signer::new(&keys, &settings.auth.service, lifetime));
    signer.map_err(|error| StartError::Keys { path, error })
}

/// Returns the keys of groups' accounts: those of the fleet, or those in their key file, which is created if it is
/// missing.
///
/// # Errors
/// The key file cannot be read or created, others have access to it, or it has no usable key.
pub(super) fn of_accounts(
    data: &DataDir,
    settings: &Settings,
    fleet: Option<&Fleet>,
) -> Result<SealingKeys, StartError> {
    if let Some(fleet) = fleet {
        let path = fleet.secret_file().to_owned();
        let keys = fleet.keys(Purpose::Accounts).and_then(|keys| SealingKeys::new(&keys));
        return keys.map_err(|error| StartError::AccountKeys { path, error: error.into() });
    }
    let path = settings.auth.account_key_file_in(&settings.storage);
    let text = data.read_or_make(&path, || KeySet::generate().to_json())?;
    if let Some(loose) = loose_mode(&path)? {
        return Err(StartError::AccountKeys { error: loose.into(), path });
    }
    let keys = KeySet::from_json(&text).and_then(|keys| SealingKeys::new(&keys));
    keys.map_err(|error| StartError::AccountKeys { path, error: error.into() })
}
