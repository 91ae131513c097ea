//! The lines of a backup before its records, each a JSON document.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VERSION;
use crate::auth::jwt::KeySet;
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};
use crate::domain::id::InstallationId;
use crate::store::error::StoreError;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) program: String,
    pub(super) at: Timestamp,
    pub(super) number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) installation: Option<InstallationId>,
}

/// The members that the headers of all versions have.
#[derive(Deserialize)]
struct AnyHeader {
    version: u32,
    program: Option<String>,
}

/// A setting that is no secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    setting: Vec<String>,
    value: Value,
}

/// A setting that is a secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    setting: Vec<String>,
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// A line of a setting, as it is read.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Setting {
    Plain(Plain),
    Secret(Secret),
}

/// The line of the signing keys, as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    pub(super) signing_keys: KeySet,
}

/// The line of the signing keys, as it is written.
#[derive(Serialize)]
pub(super) struct KeysLine<'a> {
    pub(super) signing_keys: &'a KeySet,
}

/// The line of the keys of groups' accounts, as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountKeys {
    pub(super) account_keys: KeySet,
}

/// The line of the keys of groups' accounts, as it is written.
#[derive(Serialize)]
pub(super) struct AccountKeysLine<'a> {
    pub(super) account_keys: &'a KeySet,
}

/// Parses the first line. Fails if the backup is of another version.
pub(super) fn header(line: &[u8]) -> Result<Header, StoreError> {
    let AnyHeader { version, program } = serde_json::from_slice(line)?;
    if version != VERSION {
        let program = program.map(|program| format!(" of version {program}")).unwrap_or_default();
        return Err(StoreError::Io(format!(
            "it has version {version} of the format, and this program reads version {VERSION}: restore it with the \
             program{program} that made it, or a newer one"
        )));
    }
    Ok(serde_json::from_slice(line)?)
}

/// Returns the line of a setting, without its end.
pub(super) fn of_setting(setting: &ChosenSetting) -> Result<String, StoreError> {
    let key = setting.key.clone();
    Ok(match &setting.value {
        ChosenValue::Plain(value) => serde_json::to_string(&Plain { setting: key, value: value.clone() })?,
        ChosenValue::Secret { secret, file } => {
            let secret = secret.as_ref().map(|secret| secret.expose_secret().to_owned());
            serde_json::to_string(&Secret { setting: key, secret, file: file.clone() })?
        }
    })
}

impl From<Setting> for ChosenSetting {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Plain(Plain { setting, value }) => Self { key: setting, value: ChosenValue::Plain(value) },
            Setting::Secret(Secret { setting, secret, file }) => {
                Self { key: setting, value: ChosenValue::Secret { secret: secret.map(SecretString::from), file } }
            }
        }
    }
}
