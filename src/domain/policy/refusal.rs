//! The reasons why a credential or a pull is refused, with their texts.

use jiff::civil::Date;

use crate::domain::group::GroupPath;
use crate::domain::scope::Scopes;

/// The reason why a credential is refused. The texts are for the user who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user does not exist, the password is wrong, or the secret is not a token of this service.
    #[error("Wrong username or password. With a token, use the token as the password")]
    Unknown,
    /// The secret is not a token of this service, and passwords are not verified here.
    #[error("A password is accepted at a login only, at /jwt/auth. Log in first, or use a token as the password")]
    PasswordAtRegistry,
    /// The secret has the form of a GitLab token.
    #[error("This is a GitLab token; this service has its own. Create a deploy token for the group here")]
    GitlabToken,
    /// A token that has a user name of its own was sent with another one.
    #[error("Wrong username: {noun} '{name}' needs the username {username}")]
    Username {
        /// The kind of the token.
        noun: &'static str,
        /// The token's name.
        name: String,
        /// The user name that the token requires.
        username: String,
    },
    /// The secret has the form of a token of this service, but the store has no record of it.
    #[error("This token was made by another instance, or after the backup that this one was restored from")]
    NeverSeen,
    /// The token has expired.
    #[error("Token '{name}' expired on {on}. {remedy}")]
    Expired {
        /// The token's name.
        name: String,
        /// The day on which it expired, in UTC.
        on: Date,
        /// A sentence that names who can replace the token.
        remedy: String,
    },
    /// The secret was replaced by a rotation, and its overlap, if it had one, has ended.
    #[error("Token '{name}' was rotated, and its old secret ended on {on}. Use the new secret")]
    Replaced {
        /// The token's name.
        name: String,
        /// The day on which the old secret ended, in UTC.
        on: Date,
    },
    /// The token was revoked or deleted.
    #[error("Token '{name}' was revoked on {on}")]
    Revoked {
        /// The token's name.
        name: String,
        /// The day of the revocation, in UTC.
        on: Date,
    },
    /// The user is blocked.
    #[error("User {username} is blocked. An administrator can unblock it")]
    Blocked {
        /// The user name.
        username: String,
    },
    /// The token's scopes do not allow pulling.
    #[error("Token '{name}' has the {noun} {scopes}; pulling needs read_registry and write_registry, or api", noun = if scopes.iter().count() == 1 { "scope" } else { "scopes" })]
    Scopes {
        /// The token's name.
        name: String,
        /// The token's scopes.
        scopes: Scopes,
    },
    /// The JWT was issued for a password that has since been changed, or for a credential that no longer exists.
    #[error("This login is no longer valid. Log in again")]
    Gone,
}

/// The reason why a pull from a group is refused. The texts are for the user who sent the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullDenial {
    /// The group does not exist, or the caller has no right to it. The response is the same for both, so that it does
    /// not reveal which groups exist.
    #[error(
        "Group '{group}' does not exist, or {who} is not a member of it. The group is what stands before /dependency_proxy/"
    )]
    NotForThem {
        /// The requested path.
        group: GroupPath,
        /// The caller, as a sentence names it.
        who: String,
    },
    /// The proxy is switched off for the group. Only callers who could pull from it otherwise get this reason.
    #[error("The dependency proxy is switched off for group '{group}'. An owner of the group can switch it on")]
    SwitchedOff {
        /// The path of the group.
        group: GroupPath,
    },
}

impl Refusal {
    /// Returns true if the secret itself was wrong, as opposed to one that is known but no longer valid.
    pub fn is_wrong_secret(&self) -> bool {
        match self {
            Self::Unknown | Self::PasswordAtRegistry | Self::GitlabToken | Self::Username { .. } => true,
            Self::NeverSeen
            | Self::Expired { .. }
            | Self::Replaced { .. }
            | Self::Revoked { .. }
            | Self::Blocked { .. }
            | Self::Scopes { .. }
            | Self::Gone => false,
        }
    }
}
