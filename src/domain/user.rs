//! Users: people, and the bots that stand behind group access tokens.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{CredentialId, GroupId, UserId};
use super::limits::MAX_NAME_CHARS;

/// A person or a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Never given to another user.
    pub id: UserId,
    /// What the user logs in with; unique without regard to case.
    pub username: Username,
    /// The name for people to read.
    pub name: String,
    /// The address that the administrator gave; nothing is sent to it.
    pub email: String,
    /// Whether the user may do everything.
    pub admin: bool,
    /// Whether the user is shut out.
    pub blocked: bool,
    /// The group whose access token this bot stands for; `None` for people.
    pub bot_of: Option<GroupId>,
    /// How the user proves who it is without a token.
    pub password: Option<Password>,
    /// When the user was made.
    pub created_at: Timestamp,
}

/// A password as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Changes with the password, so that what was issued for the old one stops working.
    pub credential: CredentialId,
    /// Argon2id, in the PHC string format.
    pub hash: String,
}

/// A user name: 1 to 255 letters, digits, `_`, `.` and `-`, not starting with `-`; compared without case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

/// Why a string cannot be a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Characters.
    #[error("can contain only letters, digits, '_', '-' and '.', and cannot start with '-'")]
    Malformed,
    /// Length.
    #[error("is too long (maximum is {MAX_NAME_CHARS} characters)")]
    TooLong,
    /// CI runners and other programs use it for something else.
    #[error("is a reserved name")]
    Reserved,
}

impl Username {
    /// The name as its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared.
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
