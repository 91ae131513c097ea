//! The section `[bootstrap]`.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::domain::token::is_like_gitlabs;
use crate::domain::user::Username;
use crate::formats;
use crate::settings::ValidationError;

/// The first administrator, created in an empty store.
#[derive(Clone, Debug, Deserialize)]
pub struct Bootstrap {
    /// User name of the first administrator.
    pub admin_username: Username,
    /// Password of the first administrator; `None`: a random one.
    #[serde(deserialize_with = "formats::secret")]
    pub admin_password: Option<SecretString>,
    /// API token of the first administrator, at least 20 characters; `None`: no token.
    #[serde(deserialize_with = "formats::secret")]
    pub admin_token: Option<SecretString>,
}

const MIN_PASSWORD_CHARS: usize = 8;
const MIN_TOKEN_CHARS: usize = 20;

impl Bootstrap {
    pub(in crate::settings) fn check(&self) -> Result<(), ValidationError> {
        let short = |secret: &Option<SecretString>, least| {
            secret.as_ref().is_some_and(|secret| secret.expose_secret().chars().count() < least)
        };
        if short(&self.admin_password, MIN_PASSWORD_CHARS) {
            return Err(ValidationError::new(["bootstrap", "admin_password"], "has fewer than 8 characters"));
        }
        let password = self.admin_password.as_ref().map(ExposeSecret::expose_secret);
        if password.is_some_and(is_like_gitlabs) {
            let problem = "looks like a GitLab token, which a login never tries as a password";
            return Err(ValidationError::new(["bootstrap", "admin_password"], problem));
        }
        if short(&self.admin_token, MIN_TOKEN_CHARS) {
            return Err(ValidationError::new(["bootstrap", "admin_token"], "has fewer than 20 characters"));
        }
        Ok(())
    }
}
