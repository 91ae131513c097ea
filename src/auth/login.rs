//! From a secret or a bearer token to who is asking, now. Pure functions over a directory; passwords are not for here,
//! because checking one takes time.

use jiff::Timestamp;

use super::jwt::Signer;
use super::secret::{self, Form};
use crate::domain::directory::{Credential, Directory};
use crate::domain::policy::{self, Identity, Refusal};
use crate::domain::token::{Token, TokenOwner};

/// What a secret turned out to be.
#[derive(Clone, Debug)]
pub enum Login {
    /// A token that is active and may pull.
    Token(Identity),
    /// Not a token that is known: perhaps a password.
    PerhapsPassword,
}

/// Why a bearer token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// Not signed here, or its time is over.
    #[error(transparent)]
    Invalid(#[from] super::jwt::InvalidToken),
    /// Its credential no longer counts.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Who this token is, if it is one that may pull; a deploy token needs its own user name beside it.
pub fn by_token(directory: &Directory, username: &str, secret: &str, now: Timestamp) -> Result<Login, Refusal> {
    let Some(credential) = directory.secret(&secret::digest(secret)) else {
        return match secret::form(secret) {
            Form::Ours => Err(Refusal::NeverSeen),
            Form::Gitlab => Err(Refusal::GitlabToken),
            Form::Other => Ok(Login::PerhapsPassword),
        };
    };
    if let Credential::Token(token) | Credential::OldSecret(token) = &credential {
        check_username(token, username)?;
    }
    let identity = policy::identify(directory, credential, now)?;
    policy::check_pull_scopes(&identity)?;
    Ok(Login::Token(identity))
}

/// Who this bearer token stands for, if it is ours and its credential is still active and may pull.
pub fn by_bearer(directory: &Directory, signer: &Signer, token: &str, now: Timestamp) -> Result<Identity, BearerError> {
    let claims = signer.verify(token, now)?;
    let Some(id) = claims.cred else { return Ok(Identity::Nobody) };
    let credential = directory.credential(id).ok_or(Refusal::Gone)?;
    let identity = policy::identify(directory, credential, now)?;
    policy::check_pull_scopes(&identity)?;
    Ok(identity)
}

fn check_username(token: &Token, given: &str) -> Result<(), Refusal> {
    match &token.owner {
        TokenOwner::Deploy { username, .. } if username != given => {
            Err(Refusal::Username { name: token.name.clone(), username: username.clone() })
        }
        TokenOwner::Deploy { .. } | TokenOwner::Personal { .. } | TokenOwner::Group { .. } => Ok(()),
    }
}
