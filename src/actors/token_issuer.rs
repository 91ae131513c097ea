//! Login tokens: issues them, and identifies the callers who present them.
//!
//! | file | content |
//! |---|---|
//! | [`handle`] | [`TokenIssuerHandle`]: verifies tokens of every kind at each request, without a message |
//! | [`failure_counts`] | counts of failed logins |
//! | [`issuer`] | the actor: verifies the credentials of a login, and issues a login token |
//! | [`password_verifier`] | passwords: a bounded queue before the slow hashing, failed logins, passwords that were verified recently |

mod failure_counts;
mod handle;
mod issuer;
mod password_verifier;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use actix::prelude::*;
use secrecy::SecretString;

pub use self::handle::TokenIssuerHandle;
pub use self::issuer::TokenIssuer;
pub use self::password_verifier::{PasswordError, PasswordOptions};
use crate::domain::policy::{Identity, Refusal};

/// Request for a bearer token.
#[derive(Debug, Message)]
#[rtype(result = "Result<Issued, IssueError>")]
pub struct IssueToken {
    /// User name and secret, from HTTP Basic authentication or a form; `None` if the client sent none.
    pub credentials: Option<(String, SecretString)>,
    /// The client's address.
    pub address: IpAddr,
}

/// An issued bearer token.
#[derive(Debug)]
pub struct Issued {
    /// The bearer token.
    pub token: String,
    /// The identity that the token stands for.
    pub identity: Identity,
}

/// Reason why no token was issued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssueError {
    /// The credential is unknown, or not valid any more.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client sent no credentials, and no group is open to everyone.
    #[error("Credentials are needed here. Log in first, with a deploy token of the group for example")]
    NoCredentials,
    /// There were too many failed logins. The password was not checked.
    #[error("Too many failed logins. Wait {} seconds", .0.as_secs() + 1)]
    TooManyFailures(Duration),
    /// Too many passwords are waiting to be checked.
    #[error("{}", PasswordError::Busy)]
    Busy,
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Signing,
}

impl From<PasswordError> for IssueError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Wrong => Self::Refused(Refusal::Unknown),
            PasswordError::TooMany(wait) => Self::TooManyFailures(wait),
            PasswordError::Busy => Self::Busy,
        }
    }
}
