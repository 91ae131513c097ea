//! Tokens: personal, group and deploy tokens, and the tombstones of deleted ones. Holds digests of secrets only.

mod tombstone;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::tombstone::Tombstone;

use super::digest::Digest;
use super::id::{CredentialId, GroupId, TokenId, UserId};
use super::principal::Principal;
use super::scope::{Scope, Scopes};

/// A token: a named secret that acts for a user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The number in the REST API.
    pub id: TokenId,
    /// The id that JWTs issued for its present secret name.
    pub credential: CredentialId,
    /// The owner.
    pub owner: TokenOwner,
    /// The display name.
    pub name: String,
    /// The description, written by whoever created the token.
    pub description: String,
    /// The scopes.
    pub scopes: Scopes,
    /// The SHA-256 of the secret.
    pub secret: Digest,
    /// The time when the present secret was created: with the token, or by a rotation that kept the token's number.
    pub created_at: Timestamp,
    /// The time from which the token is no longer valid; `None`: it has no end.
    pub expires_at: Option<Timestamp>,
    /// The time of the revocation, if it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The token that created this one, with which it ends; see `commands::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<TokenId>,
    /// The group access token that made the creator an owner of the group, with which this token ends, too; see
    /// `commands::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<TokenId>,
    /// The time at which the end was last changed without a new secret; `None` if it never was. It shows which of two
    /// ends of a token is the newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_changed_at: Option<Timestamp>,
    /// The user who created the token, who may be deleted since; `None` for the first tokens and for those of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// The token that replaced this one, if a rotation did. This one was revoked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<TokenId>,
    /// The secret that the last rotation replaced, even after it has ended. `None` in records that were written by
    /// versions without rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<OldSecret>,
}

/// A secret that a rotation replaced and that stays valid for a limited time beside the new one. A token has at most
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The SHA-256 of the secret.
    pub secret: Digest,
    /// The id that JWTs issued for the secret name.
    pub credential: CredentialId,
    /// The time from which the secret is no longer valid; it ends earlier if its token does.
    pub expires_at: Timestamp,
}

/// The owner of a token: the user or group that it acts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenOwner {
    /// A user, for a personal access token.
    Personal {
        /// The user.
        user: UserId,
    },
    /// A group, through a bot user that is a member of it, for a group access token.
    Group {
        /// The group.
        group: GroupId,
        /// The bot user.
        bot: UserId,
    },
    /// A group, with a user name of the token's own, for a deploy token.
    Deploy {
        /// The group.
        group: GroupId,
        /// The user name that must be sent with the token.
        username: String,
    },
}

/// Minimum length of a secret that the caller supplies.
const MIN_SUPPLIED_CHARS: usize = 20;
const MAX_SUPPLIED_CHARS: usize = 1024;

/// The prefixes of GitLab's personal and group access tokens, deploy tokens and CI job tokens.
pub const GITLAB_PREFIXES: [&str; 3] = ["glpat-", "gldt-", "glcbt-"];

/// Checks the characters of the user name of a new deploy token. With a secret that the caller supplies it may contain
/// `$`, as the names of Harbor's robot accounts do.
///
/// # Errors
/// The characters that it can contain.
pub fn check_deploy_username(name: &str, secret_is_supplied: bool) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".+_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(|byte| allowed(byte) || (secret_is_supplied && byte == b'$')) {
        return Ok(());
    }
    Err(match secret_is_supplied {
        true => "can contain only letters, digits, '_', '-', '+', '.', and '$'",
        false if name.contains('$') => "can contain '$' only if the request also supplies the secret",
        false => "can contain only letters, digits, '_', '-', '+', and '.'",
    })
}

/// Checks the length of a secret that the caller supplies.
///
/// # Errors
/// The length that it must have, as a part of a sentence.
pub fn check_supplied(secret: &str) -> Result<(), String> {
    match secret.chars().count() {
        0..MIN_SUPPLIED_CHARS => Err(format!("is too short (minimum is {MIN_SUPPLIED_CHARS} characters)")),
        MIN_SUPPLIED_CHARS..=MAX_SUPPLIED_CHARS => Ok(()),
        _ => Err(format!("is too long (maximum is {MAX_SUPPLIED_CHARS} characters)")),
    }
}

/// Returns true if a secret has the form of a GitLab token. A login with one is refused with a message that states
/// this, and the secret is never tried as a password.
pub fn is_like_gitlabs(secret: &str) -> bool {
    GITLAB_PREFIXES.iter().any(|prefix| secret.starts_with(prefix))
}

impl TokenOwner {
    /// Returns the kind of the token as texts for users name it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Personal { .. } => "personal access token",
            Self::Group { .. } => "group access token",
            Self::Deploy { .. } => "deploy token",
        }
    }

    /// Returns the principal that the owner's token with this number proves.
    pub fn principal(&self, token: TokenId) -> Principal {
        match self {
            Self::Personal { user } => Principal::User(*user),
            Self::Group { bot, .. } => Principal::GroupToken { token, bot: *bot },
            Self::Deploy { .. } => Principal::DeployToken(token),
        }
    }

    /// Returns the user name that belongs to the token itself; `None` for one that acts as a user.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Deploy { username, .. } => Some(username),
            Self::Personal { .. } | Self::Group { .. } => None,
        }
    }

    /// Returns the group of the token; `None` for a personal access token.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Group { group, .. } | Self::Deploy { group, .. } => Some(*group),
            Self::Personal { .. } => None,
        }
    }

    /// Returns true if tokens of both owners count towards one limit: they are of one kind, and of one user or group.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Personal { user }, Self::Personal { user: other }) => user == other,
            (Self::Group { group, .. }, Self::Group { group: other, .. })
            | (Self::Deploy { group, .. }, Self::Deploy { group: other, .. }) => group == other,
            (Self::Personal { .. } | Self::Group { .. } | Self::Deploy { .. }, _) => false,
        }
    }
}

impl Token {
    /// Creates a token without a description, an end or a maker. Its secret is the one with this digest and this id.
    pub fn new(
        id: TokenId,
        owner: TokenOwner,
        name: impl Into<String>,
        scopes: Scopes,
        (credential, secret): (CredentialId, Digest),
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            credential,
            owner,
            name: name.into(),
            description: String::new(),
            scopes,
            secret,
            created_at,
            expires_at: None,
            revoked_at: None,
            made_by: None,
            rests_on: None,
            end_changed_at: None,
            created_by: None,
            replaced_by: None,
            old_secret: None,
        }
    }

    /// Returns true if the token's scopes allow pulling.
    pub fn may_pull(&self) -> bool {
        let api = match self.owner {
            TokenOwner::Personal { .. } | TokenOwner::Group { .. } => self.scopes.contains(Scope::Api),
            TokenOwner::Deploy { .. } => false,
        };
        api || self.scopes.have_pull_pair()
    }

    /// Returns the user as which the token acts; `None` for a deploy token.
    pub fn user(&self) -> Option<UserId> {
        match self.owner {
            TokenOwner::Personal { user } | TokenOwner::Group { bot: user, .. } => Some(user),
            TokenOwner::Deploy { .. } => None,
        }
    }

    /// Returns the group of the token; `None` for a personal access token.
    pub fn group(&self) -> Option<GroupId> {
        self.owner.group()
    }

    /// Returns true if the token is neither revoked nor expired at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Returns the token as seen through its old secret: with the same rights, until the old secret or the token
    /// ends. `None` if it has no old secret.
    pub fn by_old_secret(&self) -> Option<Self> {
        let OldSecret { secret, credential, expires_at } = self.old_secret?;
        let expires_at = self.expires_at.into_iter().chain([expires_at]).min();
        Some(Self { secret, credential, expires_at, old_secret: None, ..self.clone() })
    }

    /// Returns the end of the old secret if that is still valid.
    pub fn old_secret_end(&self, now: Timestamp) -> Option<Timestamp> {
        // A request that rotates the token began before the new secret was created: it must not see an old secret
        // that ended with the rotation.
        let now = now.max(self.created_at);
        self.by_old_secret().filter(|token| token.is_active(now))?.expires_at
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// A token as written by versions without rotations.
    const WRITTEN_BEFORE: &str = r#"{"id":7,"credential":"07070707070707070707070707070707",
        "owner":{"kind":"deploy","group":1,"username":"ci"},"name":"ci","description":"",
        "scopes":["read_registry","write_registry"],
        "secret":"sha256:0101010101010101010101010101010101010101010101010101010101010101",
        "created_at":"2026-01-01T00:00:00Z","expires_at":null,"revoked_at":null}"#;

    #[test]
    fn a_token_without_an_old_secret_is_read_and_written_as_before_rotations() {
        let token: Token = serde_json::from_str(WRITTEN_BEFORE).unwrap();
        assert_eq!(token.old_secret, None);
        let written = serde_json::to_value(&token).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(WRITTEN_BEFORE).unwrap());
    }

    #[test]
    fn an_old_secret_is_valid_until_it_or_its_token_ends() {
        let (now, end): (Timestamp, Timestamp) =
            ("2026-01-02T00:00:00Z".parse().unwrap(), "2026-01-03T00:00:00Z".parse().unwrap());
        let token: Token = serde_json::from_str(WRITTEN_BEFORE).unwrap();
        let old_secret = OldSecret { secret: token.secret, credential: token.credential, expires_at: end };
        let token = Token { old_secret: Some(old_secret), ..token };
        assert_eq!((token.old_secret_end(now), token.old_secret_end(end)), (Some(end), None));
        let shorter = Token { expires_at: Some(now), ..token.clone() };
        assert_eq!(shorter.old_secret_end(now), None);
        let revoked = Token { revoked_at: Some(now), ..token };
        assert_eq!(revoked.old_secret_end(now), None);
    }
}
