//! Errors of requests to an upstream, one variant per cause. They never contain a secret or the query of a signed
//! address, and no HTTP status of this service.

mod failure;
mod realm;

use std::time::Duration;

pub(super) use self::failure::is_transient;
pub use self::failure::{ConnectionFailure, HttpFailure, RateLimit};
pub use self::realm::RealmError;

use self::failure::quoted;

/// Reason why an upstream sent no usable response. Cheap to clone: all callers that share a request get a copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Upstream has no such repository, tag or content.
    #[error("upstream does not have it")]
    NotFound,
    /// Upstream refuses this repository to this account. Docker Hub responds like this for missing repositories,
    /// too.
    #[error("upstream refuses it to this account, or does not have it{}", quoted(.message.as_deref()))]
    Denied {
        /// Upstream's error message, where it adds information.
        message: Option<String>,
    },
    /// Upstream refuses the request permanently, with a 4xx status that has no variant of its own.
    #[error("upstream refuses the request: {0}")]
    Refused(HttpFailure),
    /// Upstream's rate limit is reached.
    #[error("upstream's rate limit is reached")]
    RateLimited(RateLimit),
    /// No connection was made, or it ended before a response began.
    #[error("upstream cannot be reached{}: {failure}: {reason}", named(.elsewhere.as_deref()))]
    Unreachable {
        /// The kind of failure.
        failure: ConnectionFailure,
        /// The host that cannot be reached, where it is one to which upstream redirected.
        elsewhere: Option<String>,
        /// The innermost error, in a few words.
        reason: String,
    },
    /// No connection, or no response, within the configured time.
    #[error("upstream did not respond in time")]
    TimedOut,
    /// Upstream reports an error of its own: a 5xx status, or a 4xx status that means that the client may try again
    /// later.
    #[error("upstream fails: {0}")]
    ServerError(HttpFailure),
    /// The storage to which upstream redirected refused content that upstream had granted: the signed address may
    /// have expired.
    #[error("the storage that upstream redirected to responded with status {status}")]
    Storage {
        /// The HTTP status.
        status: u16,
    },
    /// A successful response that does not match the request.
    #[error("upstream's response is invalid: {what}")]
    InvalidResponse {
        /// The problem.
        what: &'static str,
    },
    /// Upstream has the content only in a form that this service does not support.
    #[error("upstream has it only as {what}, which is not supported")]
    Unsupported {
        /// The form.
        what: &'static str,
    },
    /// The token realm that upstream names issued no token.
    #[error("upstream's token realm: {0}")]
    TokenRealm(#[from] RealmError),
    /// Upstream refers to an address to which this service does not connect.
    #[error("upstream named the address {host}, which is not public and not listed for it")]
    ForbiddenAddress {
        /// The host, without port, path or query.
        host: String,
    },
    /// Upstream sent another range than the requested one.
    #[error("upstream offered another range than the one requested")]
    WrongRange,
    /// The content ended early: the connection broke, or no bytes arrived for too long.
    #[error("the connection to upstream broke: {reason}")]
    Interrupted {
        /// The innermost error, in a few words.
        reason: String,
    },
    /// A list is longer than [`MAX_LIST_BYTES`](super::MAX_LIST_BYTES).
    #[error("upstream's response is too long")]
    TooLong,
    /// Too many requests to this upstream are under way.
    #[error("too many requests to this upstream are under way")]
    Busy,
    /// No request was sent, because upstream has failed with this error a short time ago.
    #[error("not requested, because a short time ago {0}")]
    InBackoff(Box<UpstreamError>),
    /// No request was sent, because upstream's pull limit is nearly reached: what is left is kept for others.
    #[error("not requested, because upstream's pull limit is nearly reached")]
    Reserved(ReservedFor),
    /// This service does not contact upstreams at present (`proxy.network_mode`).
    #[error("this service is offline")]
    Offline,
    /// No such upstream is configured, or it has no such account.
    #[error("this upstream or account is not configured")]
    NotConfigured,
    /// The password of the group's account cannot be decrypted: its key is missing.
    #[error("the password of this account cannot be decrypted: its key is missing")]
    UnreadableAccount,
    /// The task ended without a result: a fault of this service.
    #[error("the request to upstream ended without an outcome")]
    Lost,
}

/// Requests for which the rest of a pull limit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedFor {
    /// Those for what is not cached.
    Misses,
    /// Those of groups that have used less of it.
    OtherGroups,
}

impl UpstreamError {
    /// Returns the time that upstream wants to pass before the next request, if it reports one.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimited(RateLimit { retry_after, .. }) | Self::ServerError(HttpFailure { retry_after, .. }) =
            self
        {
            return *retry_after;
        }
        None
    }

    /// Returns true if the same request may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited(_)
            | Self::Unreachable { .. }
            | Self::TimedOut
            | Self::ServerError(_)
            | Self::Storage { .. }
            | Self::Interrupted { .. }
            | Self::Busy
            | Self::Lost => true,
            Self::TokenRealm(realm) => realm.is_retryable(),
            Self::InBackoff(error) => error.is_retryable(),
            Self::NotFound
            | Self::Denied { .. }
            | Self::Refused(_)
            | Self::InvalidResponse { .. }
            | Self::Unsupported { .. }
            | Self::ForbiddenAddress { .. }
            | Self::WrongRange
            | Self::TooLong
            | Self::Reserved(_)
            | Self::Offline
            | Self::NotConfigured
            | Self::UnreadableAccount => false,
        }
    }

    /// Returns true if a request was sent to upstream, or may have been.
    pub fn was_sent(&self) -> bool {
        !matches!(
            self,
            Self::Busy
                | Self::InBackoff(_)
                | Self::Reserved(_)
                | Self::Offline
                | Self::NotConfigured
                | Self::UnreadableAccount
        )
    }

    /// Returns true if upstream refuses the credential that was sent, whatever the image.
    pub(super) fn refuses_account(&self) -> bool {
        matches!(self, Self::TokenRealm(RealmError::Refused { .. }))
    }

    /// Returns true if a `HEAD` that failed with this error was refused because of its method, and not only
    /// temporarily.
    pub(super) fn refuses_method(&self) -> bool {
        let transient = matches!(self, Self::ServerError(failure) if failure.status != 501);
        self.may_succeed_by_get() && !transient
    }

    /// Returns true if a `GET` may succeed where a `HEAD` failed with this error: some registries and storage
    /// services do not support `HEAD`, refuse it or close the connection. Errors of the connection or the account
    /// are the same for both methods.
    pub(super) fn may_succeed_by_get(&self) -> bool {
        match self {
            Self::NotFound
            | Self::Denied { .. }
            | Self::Refused(_)
            | Self::ServerError(_)
            | Self::Storage { .. }
            | Self::InvalidResponse { .. }
            | Self::Unsupported { .. }
            | Self::WrongRange
            | Self::Unreachable { failure: ConnectionFailure::Closed, .. } => true,
            Self::RateLimited(_)
            | Self::Unreachable { .. }
            | Self::TimedOut
            | Self::TokenRealm(_)
            | Self::ForbiddenAddress { .. }
            | Self::Interrupted { .. }
            | Self::TooLong
            | Self::Busy
            | Self::InBackoff(_)
            | Self::Reserved(_)
            | Self::Offline
            | Self::NotConfigured
            | Self::UnreadableAccount
            | Self::Lost => false,
        }
    }
}

/// Returns ` at HOST`, or an empty text.
fn named(host: Option<&str>) -> String {
    host.map(|host| format!(" at {host}")).unwrap_or_default()
}
