//! The subject of a refused request, by name: the credential that it presented, even one that is no longer valid.
//! Only names that the directory knows are logged; any other user name that a client sends may be a secret.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use secrecy::ExposeSecret;

use crate::actors::token_issuer::TokenIssuerHandle;
use crate::auth::secret;
use crate::domain::audit::Who;
use crate::domain::directory::{Credential, Directory};
use crate::domain::id::{CredentialId, TokenId};
use crate::domain::policy::Identity;
use crate::domain::principal::Principal;
use crate::domain::token::{Token, TokenOwner, Tombstone};
use crate::domain::user::User;
use crate::http::authorization_header::AuthorizationHeader;

/// The principal and the credential of a refused request. All fields are empty if it presented none that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::http) struct Subject {
    pub(in crate::http) principal: Option<Principal>,
    pub(in crate::http) principal_name: Option<String>,
    pub(in crate::http) credential: Option<CredentialId>,
    pub(in crate::http) credential_name: Option<String>,
    /// The number of the token, as the subcommands and the API show it; `None` for a password.
    pub(in crate::http) token: Option<TokenId>,
    /// The presented user name, if no user has it. It may be a secret, so it is looked up and never logged.
    pub(in crate::http) unknown_name: Option<String>,
}

impl Subject {
    /// Returns the subject of this request.
    pub(in crate::http) fn of(request: &HttpRequest, directory: &Directory, tokens: &TokenIssuerHandle) -> Self {
        if let Some(known) = request.extensions().get::<Self>() {
            return known.clone();
        }
        if let Some(secret) = request.headers().get("private-token").and_then(|value| value.to_str().ok()) {
            return Self::by_secret(directory, secret);
        }
        match AuthorizationHeader::by(request) {
            AuthorizationHeader::Nothing | AuthorizationHeader::Malformed => Self::default(),
            AuthorizationHeader::Bearer(token) => match tokens.credential_of_bearer(token) {
                Some(credential) => directory.credential(credential).map_or_else(
                    || Self { credential: Some(credential), ..Self::default() },
                    |found| Self::by(directory, found),
                ),
                None => Self::by_secret(directory, token),
            },
            AuthorizationHeader::Basic(username, secret) => {
                Self::by_login(directory, &username, secret.expose_secret())
            }
        }
    }

    /// Returns the subject of a login with this user name and secret: the owner of the token, or else the user or
    /// the deploy token of that name.
    pub(in crate::http) fn by_login(directory: &Directory, username: &str, secret: &str) -> Self {
        if let Some(credential) = directory.secret(&secret::digest(secret)) {
            return Self::by(directory, credential);
        }
        let Some(user) = directory.user_named(username) else {
            return Self { unknown_name: Some(username.to_owned()), ..Self::default() };
        };
        Self {
            principal: Some(Principal::User(user.id)),
            principal_name: Some(user.username.to_string()),
            ..Self::default()
        }
    }

    /// Returns the principal as audit events name it.
    pub(in crate::http) fn who(&self) -> Who {
        match self.principal {
            Some(Principal::User(user) | Principal::GroupToken { bot: user, .. }) => Who::User(user),
            Some(Principal::DeployToken(_)) => Who::DeployToken,
            Some(Principal::Nobody) | None => Who::Nobody,
        }
    }

    /// Returns the subject without the field that differs from one attempt to the next.
    pub(in crate::http) fn without_unknown_name(&self) -> Self {
        Self { unknown_name: None, ..self.clone() }
    }

    /// Returns the subject with the deploy token that has the user name, if there is one. Scans all tokens, so it
    /// is called only for refusals that are logged.
    pub(in crate::http) fn with_deploy_token(self, directory: &Directory) -> Self {
        let Some(wanted) = self.unknown_name.as_deref() else { return self };
        let is_called = |token: &&Arc<Token>| token.owner.username() == Some(wanted);
        let Some(token) = directory.tokens().rev().find(is_called) else { return self };
        let named = Self::from(Identity::DeployToken(token.clone()));
        Self { principal: named.principal, principal_name: named.principal_name, ..self }
    }

    fn by_secret(directory: &Directory, secret: &str) -> Self {
        directory.secret(&secret::digest(secret)).map_or_else(Self::default, |found| Self::by(directory, found))
    }

    fn by(directory: &Directory, credential: Credential) -> Self {
        match credential {
            Credential::Password(user) => {
                let credential = user.password.as_ref().map(|password| password.credential);
                credential.map_or_else(Self::default, |credential| Identity::User(user, credential).into())
            }
            Credential::Token(token) | Credential::OldSecret(token) => Self::by_token(directory, token),
            Credential::Deleted(stone) => Self::by_tombstone(directory, &stone),
        }
    }

    fn by_tombstone(directory: &Directory, stone: &Tombstone) -> Self {
        let principal_name = stone.owner.as_ref().and_then(|owner| match owner {
            TokenOwner::Personal { user } | TokenOwner::Group { bot: user, .. } => {
                stone.username(directory.user(*user))
            }
            TokenOwner::Deploy { username, .. } => Some(username.clone()),
        });
        Self {
            principal: stone.owner.as_ref().zip(stone.token).map(|(owner, token)| owner.principal(token)),
            principal_name,
            credential: Some(stone.credential),
            credential_name: Some(stone.name.clone()),
            token: stone.token,
            unknown_name: None,
        }
    }

    fn by_token(directory: &Directory, token: Arc<Token>) -> Self {
        let user: Option<&Arc<User>> = token.user().and_then(|user| directory.user(user));
        match (&token.owner, user) {
            (TokenOwner::Deploy { .. }, _) => Identity::DeployToken(token).into(),
            (TokenOwner::Personal { .. } | TokenOwner::Group { .. }, Some(user)) => {
                Identity::UserToken(token.clone(), user.clone()).into()
            }
            (TokenOwner::Personal { .. } | TokenOwner::Group { .. }, None) => Self {
                credential: Some(token.credential),
                credential_name: Some(token.name.clone()),
                token: Some(token.id),
                ..Self::default()
            },
        }
    }
}

impl From<Identity> for Subject {
    fn from(identity: Identity) -> Self {
        Self {
            principal: Some(identity.principal()),
            principal_name: identity.principal_name().map(str::to_owned),
            credential: identity.credential(),
            credential_name: identity.credential_name().map(str::to_owned),
            token: identity.token(),
            unknown_name: None,
        }
    }
}
