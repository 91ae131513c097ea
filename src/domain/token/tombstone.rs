//! Tombstones of deleted tokens: what is kept so that refusals and lists can name them.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{OldSecret, Token, TokenOwner};
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, TokenId, UserId};
use crate::domain::scope::Scopes;
use crate::domain::user::User;

/// The record of a deleted token, so that its user gets an error message that states the deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The SHA-256 of its secret.
    pub secret: Digest,
    /// The id that JWTs issued for the secret name.
    pub credential: CredentialId,
    /// The name of the token.
    pub name: String,
    /// The time of the deletion. The tombstone is removed [`Tombstone::DAYS`] days later.
    pub deleted_at: Timestamp,
    /// The owner of the token. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TokenOwner>,
    /// The number of the token. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The name of the user as which the token acted, who may be deleted with it. `None` for a deploy token, and in
    /// records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The scopes of the token. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// The time when its secret was created. `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The user who created the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// The end that the token had, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The token that has the new secret, if a rotation replaced this one. `None` if the token itself ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<TokenId>,
}

impl Tombstone {
    /// The time for which tombstones are kept, in days.
    pub const DAYS: i64 = 90;

    /// Returns the tombstone of this token.
    pub fn of(token: &Token, now: Timestamp) -> Self {
        Self {
            secret: token.secret,
            credential: token.credential,
            name: token.name.clone(),
            deleted_at: token.revoked_at.unwrap_or(now),
            owner: Some(token.owner.clone()),
            token: Some(token.id),
            username: None,
            scopes: Some(token.scopes.clone()),
            created_at: Some(token.created_at),
            created_by: token.created_by,
            expires_at: token.expires_at,
            replaced_by: token.replaced_by,
        }
    }

    /// Returns the deleted token as it can be listed, as a revoked one; `None` for the secret that a rotation replaced,
    /// and where too little of the token is known.
    pub fn revoked_token(&self) -> Option<Token> {
        let id = self.token.filter(|_| self.replaced_by.is_none())?;
        let (owner, scopes, secret) = (self.owner.clone()?, self.scopes.clone()?, (self.credential, self.secret));
        Some(Token {
            expires_at: self.expires_at,
            revoked_at: Some(self.deleted_at),
            created_by: self.created_by,
            ..Token::new(id, owner, self.name.clone(), scopes, secret, self.created_at?)
        })
    }

    /// Returns the tombstone with the name of the user as which the token acts.
    pub fn of_user(self, user: Option<&Arc<User>>) -> Self {
        Self { username: user.map(|user| user.username.to_string()), ..self }
    }

    /// Returns the name of the user as which the token acted: that of this user, or the last one if there is none any
    /// more.
    pub fn username(&self, user: Option<&Arc<User>>) -> Option<String> {
        user.map(|user| user.username.to_string()).or_else(|| self.username.clone())
    }

    /// Returns the tombstone of this token's old secret, which has ended or ends now; `None` if it has no old secret.
    pub fn of_old_secret(token: &Token, now: Timestamp) -> Option<Self> {
        let OldSecret { secret, credential, expires_at } = token.old_secret?;
        let deleted_at = token.revoked_at.unwrap_or(now).min(expires_at);
        Some(Self { secret, credential, deleted_at, replaced_by: Some(token.id), ..Self::of(token, now) })
    }
}
