//! Default paths of the key files, for settings that name no others.

use std::path::{Path, PathBuf};

/// Returns the file of the keys that sign login tokens, where the settings name no other one.
pub fn signing_keys_in(data: &Path) -> PathBuf {
    data.join("jwt-keys")
}

/// Returns the file of the keys for the passwords of groups' accounts, where the settings name no other one.
pub fn account_keys_in(data: &Path) -> PathBuf {
    data.join("account-keys")
}
