//! Users: people, and the bots of group access tokens.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{CredentialId, GroupId, UserId};
use super::limits::MAX_NAME_CHARS;

/// A person or a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The number of the user, never reused.
    pub id: UserId,
    /// The login name; unique, with the case of letters ignored.
    pub username: Username,
    /// The display name.
    pub name: String,
    /// The email address that the administrator entered; nothing is sent to it.
    pub email: String,
    /// True for an administrator, who has all rights.
    pub admin: bool,
    /// True if the user is blocked: neither the password nor any token of the user is accepted.
    pub blocked: bool,
    /// The time at which the user was last blocked or unblocked; `None` if never, and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_changed_at: Option<Timestamp>,
    /// The group whose access token this bot belongs to; `None` for people.
    pub bot_of: Option<GroupId>,
    /// The password; `None` if the user can authenticate with tokens only.
    pub password: Option<Password>,
    /// The creation time.
    pub created_at: Timestamp,
}

/// A password in its stored form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// The id of the credential. It changes with the password, so that JWTs issued for the old password stop working.
    pub credential: CredentialId,
    /// The Argon2id hash in the PHC string format.
    pub hash: String,
    /// The time at which the password was set; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Timestamp>,
}

/// A user name: 1 to 255 letters, digits, `_`, `.` and `-`, not starting with `-`. Comparisons ignore the case of
/// letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

/// The reason why a string is not a valid user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// The name is empty, has other characters, or starts with `-`.
    #[error("can contain only letters, digits, '_', '-' and '.', and cannot start with '-'")]
    Malformed,
    /// The name is too long.
    #[error("is too long (maximum is {MAX_NAME_CHARS} characters)")]
    TooLong,
    /// The name is reserved: CI runners and other programs use it with another meaning.
    #[error("is a reserved name")]
    Reserved,
}

impl User {
    /// Creates a person who is not an administrator, without an email address or a password.
    pub fn new(id: UserId, username: Username, name: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            username,
            name: name.into(),
            email: String::new(),
            admin: false,
            blocked: false,
            block_changed_at: None,
            bot_of: None,
            password: None,
            created_at,
        }
    }
}

impl Username {
    /// Returns the name as its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which names are compared, in lower case.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, UsernameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if text.is_empty() || text.starts_with('-') || !text.bytes().all(allowed) {
            return Err(UsernameError::Malformed);
        }
        if text.len() > MAX_NAME_CHARS {
            return Err(UsernameError::TooLong);
        }
        if ["gitlab-ci-token", "oauth2"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
            return Err(UsernameError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Username {
    type Error = UsernameError;

    fn try_from(text: String) -> Result<Self, UsernameError> {
        text.parse()
    }
}

impl From<Username> for String {
    fn from(name: Username) -> Self {
        name.0
    }
}

impl PartialEq for Username {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Username {}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password({})", self.credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case() {
        assert_eq!("Alice".parse::<Username>(), "aLICE".parse());
    }

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        assert_eq!("GitLab-CI-Token".parse::<Username>(), Err(UsernameError::Reserved));
        for bad in ["", "-x", "a b", "a/b", "ä", "a:b"] {
            assert_eq!(bad.parse::<Username>(), Err(UsernameError::Malformed), "{bad}");
        }
    }
}
