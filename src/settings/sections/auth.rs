//! The section `[auth]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::storage::Storage;
use crate::actors::token_issuer::PasswordOptions;
use crate::domain::key_files::{account_keys_in, signing_keys_in};
use crate::domain::policy::PublicGroups;
use crate::formats::{self, quantity};
use crate::settings::ValidationError;

/// Login tokens, password checks and their limits.
#[derive(Clone, Debug, Deserialize)]
pub struct Auth {
    /// The name of this service in its challenges.
    #[serde(deserialize_with = "formats::some_text")]
    pub service: String,
    /// Time for which a JWT is accepted; at least `token_advertised`.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_lifetime: Duration,
    /// Validity of a JWT as advertised to clients (`expires_in`); at least one second.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_advertised: Duration,
    /// The file of the keys that sign JWTs; `None`: `jwt-keys` in the data folder, see [`Auth::key_file_in`].
    #[serde(deserialize_with = "formats::path")]
    pub key_file: Option<PathBuf>,
    /// The file of the keys that encrypt the passwords of groups' accounts at upstreams; `None`: `account-keys` in the
    /// data folder, see [`Auth::account_key_file_in`].
    #[serde(deserialize_with = "formats::path")]
    pub account_key_file: Option<PathBuf>,
    /// Callers who may pull from public groups.
    pub public_groups: PublicGroups,
    /// The checks of passwords.
    #[serde(rename = "*passwords")]
    pub passwords: PasswordOptions,
}

impl Auth {
    /// Returns the file of the keys that sign JWTs.
    pub fn key_file_in(&self, storage: &Storage) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| signing_keys_in(&storage.data_dir))
    }

    /// Returns the file of the keys that encrypt the passwords of groups' accounts at upstreams.
    pub fn account_key_file_in(&self, storage: &Storage) -> PathBuf {
        self.account_key_file.clone().unwrap_or_else(|| account_keys_in(&storage.data_dir))
    }

    pub(in crate::settings) fn check(&self, storage: &Storage) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["auth", key], problem));
        if self.account_key_file_in(storage) == self.key_file_in(storage) {
            // A rotation after a leak removes all but one of the keys that sign.
            return refused("account_key_file", "is the file of auth.key_file, too; each needs a file of its own");
        }
        if self.token_advertised < Duration::from_secs(1) {
            return refused("token_advertised", "is shorter than a second");
        }
        if self.token_lifetime < self.token_advertised {
            return refused(
                "token_lifetime",
                "is shorter than token_advertised: clients would use tokens that are not accepted",
            );
        }
        if self.passwords.login_window.is_zero() {
            return refused("login_window", "is zero");
        }
        Ok(())
    }
}
