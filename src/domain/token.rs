//! Tokens: personal, group and deploy tokens, and what stays of one that was deleted. Holds digests of secrets only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::id::{CredentialId, GroupId, TokenId, UserId};
use super::scope::{Scope, Scopes};

/// A secret that stands for a user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its number in the REST API.
    pub id: TokenId,
    /// What a JWT issued for it names.
    pub credential: CredentialId,
    /// Whose it is.
    pub owner: TokenOwner,
    /// The name for people to read.
    pub name: String,
    /// What it is for, as its maker wrote it.
    pub description: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The SHA-256 of the secret.
    pub secret: Digest,
    /// The time when its present secret was made: with the token, or by a rotation that left the token its number.
    pub created_at: Timestamp,
    /// From when on it no longer counts.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The token that made it, with which it ends; see `edit::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<TokenId>,
    /// The group access token that made its maker an owner of the group, with which it ends, too; see `edit::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<TokenId>,
    /// The user who made it, who may be gone; not on record for the first tokens and for those of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// The token by which a rotation replaced this one, which was revoked with that. `None` for every other token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<TokenId>,
    /// The secret that the last rotation replaced, also once it has ended. Records of versions before rotations had it
    /// read as `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret: Option<OldSecret>,
}

/// A secret that a rotation replaced, and that is valid for a limited time beside the new one. A token has one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The SHA-256 of the secret.
    pub secret: Digest,
    /// The id that JWTs issued for it name.
    pub credential: CredentialId,
    /// The time from which on it is no longer valid; it can end earlier, with its token.
    pub expires_at: Timestamp,
}

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenOwner {
    /// A user: a personal access token.
    Personal {
        /// The user.
        user: UserId,
    },
    /// A group, through a bot that is a member of it: a group access token.
    Group {
        /// The group.
        group: GroupId,
        /// The bot.
        bot: UserId,
    },
    /// A group, with a user name of the token's own: a deploy token.
    Deploy {
        /// The group.
        group: GroupId,
        /// What must be given as the user name with it.
        username: String,
    },
}

/// The beginnings of secrets of GitLab's personal and group access tokens, deploy tokens and CI jobs.
pub const GITLAB_PREFIXES: [&str; 3] = ["glpat-", "gldt-", "glcbt-"];

/// Whether a secret has the form of one of GitLab's tokens. At a login it is told to be one, and never tried as a password.
pub fn is_like_gitlabs(secret: &str) -> bool {
    GITLAB_PREFIXES.iter().any(|prefix| secret.starts_with(prefix))
}

impl TokenOwner {
    /// The kind of the token, as people call it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Personal { .. } => "personal access token",
            Self::Group { .. } => "group access token",
            Self::Deploy { .. } => "deploy token",
        }
    }

    /// The group of it; `None` for that of a personal access token.
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Group { group, .. } | Self::Deploy { group, .. } => Some(*group),
            Self::Personal { .. } => None,
        }
    }

    /// Whether tokens of these two are counted together: those of one kind of one user or group.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Personal { user }, Self::Personal { user: other }) => user == other,
            (Self::Group { group, .. }, Self::Group { group: other, .. })
            | (Self::Deploy { group, .. }, Self::Deploy { group: other, .. }) => group == other,
            (Self::Personal { .. } | Self::Group { .. } | Self::Deploy { .. }, _) => false,
        }
    }
}

/// What is remembered of a deleted token, so that its user is told what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The SHA-256 of its secret.
    pub secret: Digest,
    /// The id that JWTs issued for it name.
    pub credential: CredentialId,
    /// Its name.
    pub name: String,
    /// When it was deleted. Forgotten [`Tombstone::DAYS`] days later.
    pub deleted_at: Timestamp,
    /// The owner of the token. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TokenOwner>,
    /// The number of the token. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The token whose secret is valid in the place of this one, after a rotation. `None` where the token itself ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<TokenId>,
}

impl Token {
    /// Whether its scopes let it pull.
    pub fn may_pull(&self) -> bool {
        let api = match self.owner {
            TokenOwner::Personal { .. } | TokenOwner::Group { .. } => self.scopes.contains(Scope::Api),
            TokenOwner::Deploy { .. } => false,
        };
        api || self.scopes.have_pull_pair()
    }

    /// The user it acts as; `None` for a deploy token.
    pub fn user(&self) -> Option<UserId> {
        match self.owner {
            TokenOwner::Personal { user } | TokenOwner::Group { bot: user, .. } => Some(user),
            TokenOwner::Deploy { .. } => None,
        }
    }

    /// The group it belongs to; `None` for a personal access token.
    pub fn group(&self) -> Option<GroupId> {
        self.owner.group()
    }

    /// Whether it is neither revoked nor expired at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// The token as its old secret opens it: with the same rights, until the old secret or the token ends.
    pub fn by_old_secret(&self) -> Option<Self> {
        let OldSecret { secret, credential, expires_at } = self.old_secret?;
        let expires_at = self.expires_at.into_iter().chain([expires_at]).min();
        Some(Self { secret, credential, expires_at, old_secret: None, ..self.clone() })
    }

    /// The end of its old secret, while that is valid.
    pub fn old_secret_end(&self, now: Timestamp) -> Option<Timestamp> {
        // A request that rotates began before the secret was made: it sees no old secret that ended with the rotation.
        let now = now.max(self.created_at);
        self.by_old_secret().filter(|token| token.is_active(now))?.expires_at
    }
}

impl Tombstone {
    /// For how many days a deleted token is remembered.
    pub const DAYS: i64 = 90;

    /// What stays of this token.
    pub fn of(token: &Token, now: Timestamp) -> Self {
        Self {
            secret: token.secret,
            credential: token.credential,
            name: token.name.clone(),
            deleted_at: token.revoked_at.unwrap_or(now),
            owner: Some(token.owner.clone()),
            token: Some(token.id),
            replaced_by: token.replaced_by,
        }
    }

    /// The tombstone of this token's old secret, which ended by itself or ends now.
    pub fn of_old_secret(token: &Token, now: Timestamp) -> Option<Self> {
        let OldSecret { secret, credential, expires_at } = token.old_secret?;
        let deleted_at = token.revoked_at.unwrap_or(now).min(expires_at);
        Some(Self { secret, credential, deleted_at, replaced_by: Some(token.id), ..Self::of(token, now) })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// A token as versions without rotations wrote it.
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
