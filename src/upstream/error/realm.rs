//! Errors of a token realm.

use super::failure::{ConnectionFailure, HttpFailure, is_transient, quoted};

/// Reason why a token realm issued no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// The realm issues no anonymous token for this repository.
    #[error("it refuses an anonymous token with status {status}")]
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// The realm refuses the configured credentials.
    #[error("it refuses the credentials of the account with status {status}{}", quoted(.message.as_deref()))]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The realm's error message.
        message: Option<String>,
    },
    /// The realm cannot be reached, or the connection broke.
    #[error("{host} cannot be reached: {failure}: {reason}")]
    Unreachable {
        /// The realm's host.
        host: String,
        /// The kind of failure.
        failure: ConnectionFailure,
        /// The innermost error, in a few words.
        reason: String,
    },
    /// The realm responded with another error status.
    #[error("it responded with {0}")]
    Failed(HttpFailure),
    /// A success without a token, or a challenge without a usable realm.
    #[error("invalid: {what}")]
    InvalidResponse {
        /// The problem.
        what: &'static str,
    },
    /// The credentials may not be sent to the realm: it is at another site, or not encrypted although upstream is.
    #[error("the configured credentials may not be sent to {host}; if they should be, add it to auth_hosts")]
    Untrusted {
        /// The realm's host.
        host: String,
    },
}

impl RealmError {
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Failed(failure) => is_transient(failure.status),
            Self::Denied { .. } | Self::Refused { .. } | Self::InvalidResponse { .. } | Self::Untrusted { .. } => false,
        }
    }
}
