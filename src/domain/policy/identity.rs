//! The authenticated caller of a request, and the names under which logs and messages know it.

use std::sync::Arc;

use crate::domain::id::{CredentialId, TokenId};
use crate::domain::principal::Principal;
use crate::domain::token::Token;
use crate::domain::user::User;

/// The authenticated caller of a request, as proved by an active credential.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An anonymous caller, who sees only what is open to everybody.
    Nobody,
    /// A user, authenticated by password; with the id of that credential.
    User(Arc<User>, CredentialId),
    /// A token of a user or of the bot of a group, and that user.
    UserToken(Arc<Token>, Arc<User>),
    /// A deploy token.
    DeployToken(Arc<Token>),
}

impl Identity {
    /// Returns the id of the credential that proved the identity; `None` for an anonymous caller.
    pub fn credential(&self) -> Option<CredentialId> {
        match self {
            Self::Nobody => None,
            Self::User(_, credential) => Some(*credential),
            Self::UserToken(token, _) | Self::DeployToken(token) => Some(token.credential),
        }
    }

    /// Returns the number of the token that proved the identity; `None` for a password or an anonymous caller.
    pub fn token(&self) -> Option<TokenId> {
        match self {
            Self::Nobody | Self::User(..) => None,
            Self::UserToken(token, _) | Self::DeployToken(token) => Some(token.id),
        }
    }

    /// Returns the user as which the identity acts; `None` for a deploy token or an anonymous caller.
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user, _) | Self::UserToken(_, user) => Some(user),
            Self::Nobody | Self::DeployToken(_) => None,
        }
    }

    /// Returns the principal.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Nobody => Principal::Nobody,
            Self::User(user, _) => Principal::User(user.id),
            Self::UserToken(token, _) | Self::DeployToken(token) => token.owner.principal(token.id),
        }
    }

    /// Returns the user name of the principal; a deploy token has a user name of its own.
    pub fn principal_name(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::User(user, _) | Self::UserToken(_, user) => Some(user.username.as_str()),
            Self::DeployToken(token) => token.owner.username(),
        }
    }

    /// Returns the name of the credential that proved the identity.
    pub fn credential_name(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::User(..) => Some("password"),
            Self::UserToken(token, _) | Self::DeployToken(token) => Some(&token.name),
        }
    }

    /// Returns the principal as error messages name it.
    pub fn who(&self) -> String {
        match self {
            Self::Nobody => "somebody who is not logged in".to_owned(),
            Self::User(user, _) => user.username.to_string(),
            Self::UserToken(token, _) if token.group().is_some() => format!("group token '{}'", token.name),
            Self::UserToken(_, user) => user.username.to_string(),
            Self::DeployToken(token) => format!("deploy token '{}'", token.name),
        }
    }
}
