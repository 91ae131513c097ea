//! Authentication: resolves a secret or a bearer token to an identity. Pure functions over a directory. Passwords are
//! not checked here, because hashing one takes time.

use jiff::Timestamp;

use super::jwt::Signer;
use super::secret::{self, Form};
use crate::domain::directory::{Credential, Directory};
use crate::domain::policy::{self, Identity, Refusal};
use crate::domain::token::Token;

/// The result of looking up a secret.
#[derive(Clone, Debug)]
pub enum Login {
    /// A token that is active and may pull.
    Token(Identity),
    /// Not a known token, so it may be a password.
    PerhapsPassword,
}

/// The reason why a bearer token is refused.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// The token is not signed by this service, or is not valid at this time.
    #[error(transparent)]
    Invalid(#[from] super::jwt::InvalidToken),
    /// The token's credential is no longer active, or may not pull.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Returns the identity that the token in `secret` proves. A deploy token must come with its own user name.
///
/// # Errors
/// Fails if the token is not active or may not pull, if the user name is wrong, and if the secret has the form of a
/// token but is unknown.
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

/// Returns the identity that this bearer token proves.
///
/// # Errors
/// Fails if the token is not valid, or its credential is not active or may not pull.
pub fn by_bearer(directory: &Directory, signer: &Signer, token: &str, now: Timestamp) -> Result<Identity, BearerError> {
    let claims = signer.verify(token, now)?;
    let Some(id) = claims.cred else { return Ok(Identity::Nobody) };
    let credential = directory.credential(id).ok_or(Refusal::Gone)?;
    let identity = policy::identify(directory, credential, now)?;
    policy::check_pull_scopes(&identity)?;
    Ok(identity)
}

fn check_username(token: &Token, given: &str) -> Result<(), Refusal> {
    match token.owner.username() {
        Some(username) if username != given => {
            Err(Refusal::Username { noun: token.owner.noun(), name: token.name.clone(), username: username.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}
