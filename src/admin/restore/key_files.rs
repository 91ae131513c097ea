//! The files of keys to which a restore writes.

use std::path::PathBuf;

use super::{PlannedRestore, RestoreError};
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};
use crate::domain::key_files::{account_keys_in, signing_keys_in};
use crate::store::data_dir::check_new_file;

impl PlannedRestore {
    /// Returns the file of the signing keys, which a restore replaces.
    ///
    /// # Errors
    /// The settings of the backup place it outside the data folder, so that it must be `given`; or the folder of the
    /// given one does not exist or is not writable.
    pub fn key_file(&self, given: Option<PathBuf>) -> Result<PathBuf, RestoreError> {
        let is_key_file = |setting: &&ChosenSetting| setting.key == ["auth", "key_file"];
        let elsewhere = self.beside.settings.iter().find(is_key_file).map(|setting| &setting.value);
        match (given, elsewhere) {
            (Some(given), _) => check_new_file(&given).map(|()| given).map_err(RestoreError::Open),
            (None, Some(ChosenValue::Plain(path))) => Err(RestoreError::KeysElsewhere(path.to_string())),
            (None, Some(ChosenValue::Secret { .. }) | None) => Ok(signing_keys_in(self.data.path())),
        }
    }

    /// Returns the file of the keys of groups' accounts, to which a restore adds those of the backup.
    ///
    /// # Errors
    /// The backup has such keys, and its settings place them outside the data folder, so that the file must be `given`;
    /// or the folder of the given one does not exist or is not writable.
    pub fn account_key_file(&self, given: Option<PathBuf>) -> Result<PathBuf, RestoreError> {
        let is_key_file = |setting: &&ChosenSetting| setting.key == ["auth", "account_key_file"];
        let elsewhere = self.beside.settings.iter().find(is_key_file).and_then(|setting| match &setting.value {
            ChosenValue::Plain(value) => value.as_str(),
            ChosenValue::Secret { .. } => None,
        });
        match (given, elsewhere) {
            (Some(given), _) => check_new_file(&given).map(|()| given).map_err(RestoreError::Open),
            (None, Some(path)) if self.beside.account_keys.is_some() => {
                Err(RestoreError::AccountKeysElsewhere(path.to_owned()))
            }
            (None, Some(path)) => Ok(path.into()),
            (None, None) => Ok(account_keys_in(self.data.path())),
        }
    }
}
