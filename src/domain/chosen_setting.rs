//! Settings that an operator has chosen, as a backup contains them: keys with values that differ from the defaults.

use secrecy::SecretString;
use serde_json::Value;

/// A setting whose value differs from the default.
#[derive(Clone, Debug)]
pub struct ChosenSetting {
    /// The key with its sections, such as `["upstreams", "docker.io", "username"]`.
    pub key: Vec<String>,
    /// The value.
    pub value: ChosenValue,
}

/// The value of a chosen setting.
#[derive(Clone, Debug)]
pub enum ChosenValue {
    /// A value that is not secret.
    Plain(Value),
    /// A secret.
    Secret {
        /// The secret; `None` if it was left out.
        secret: Option<SecretString>,
        /// The file that the settings named instead of the secret.
        file: Option<String>,
    },
}
