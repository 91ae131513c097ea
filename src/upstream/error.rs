//! What can go wrong with an upstream. Never holds a secret or the query of a signed address, and knows no status code of ours.

use std::time::Duration;

/// Why an upstream gave no usable answer. Cheap to clone: everyone who joined a request gets a copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The repository, the tag or the content does not exist there.
    #[error("upstream does not have it")]
    NotFound,
    /// Upstream refuses this repository to this account; Docker Hub says so of what does not exist, too.
    #[error("upstream refuses it to this account, or does not have it")]
    Denied,
    /// Upstream asks to come back later.
    #[error("upstream's rate limit is reached")]
    RateLimited(RateLimit),
    /// No connection: name resolution, TCP or TLS failed, or it was closed before an answer.
    #[error("upstream cannot be reached: {reason}")]
    Unreachable {
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// No answer in time, or no further byte of one.
    #[error("upstream did not answer in time")]
    TimedOut,
    /// An answer with a status that is no answer to the question.
    #[error("upstream answered with status {status}")]
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// The storage that upstream redirected to refused what upstream had granted: its address may have expired.
    #[error("the storage that upstream redirected to answered with status {status}")]
    Storage {
        /// The HTTP status.
        status: u16,
    },
    /// A successful answer that cannot be what was asked for.
    #[error("upstream answered with nonsense: {what}")]
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
    /// No token could be had from the realm that upstream named.
    #[error("upstream's token realm: {0}")]
    TokenRealm(#[from] RealmError),
    /// Upstream sent us to an address that it must not.
    #[error("upstream named the address {host}, which is not public and not listed for it")]
    ForbiddenAddress {
        /// The host, without port, path and query.
        host: String,
    },
    /// The rest of the content was asked for and something else was offered.
    #[error("upstream offered another range than the one asked for")]
    WrongRange,
    /// The connection broke in the middle of the content.
    #[error("the connection to upstream broke: {reason}")]
    Interrupted {
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// A list is longer than [`MAX_LIST_BYTES`](super::MAX_LIST_BYTES).
    #[error("upstream's answer is too long")]
    TooLong,
    /// Too many requests to this upstream are under way.
    #[error("too many requests to this upstream are under way")]
    Busy,
    /// There is no such upstream, or no such account of it.
    #[error("this upstream or account is not configured")]
    NotConfigured,
    /// The work ended without an answer: a fault of ours.
    #[error("the request to upstream ended without an answer")]
    Lost,
}

/// Why a token realm gave no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// It refuses the configured credentials.
    #[error("it refuses the configured credentials with status {status}")]
    Refused {
        /// 401 or 403.
        status: u16,
    },
    /// No answer, or not in time.
    #[error("it cannot be reached: {reason}")]
    Unreachable {
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// Another status than success.
    #[error("it answered with status {status}")]
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// Success without a token, or a challenge without a usable realm.
    #[error("nonsense: {what}")]
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
    /// It stands at another site, or would have the credentials in the clear.
    #[error("the configured credentials may not be sent to {host}; if they should be, add it to auth_hosts")]
    Untrusted {
        /// The realm's host.
        host: String,
    },
}

/// What an upstream says about its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// How many pulls it allows in a window.
    pub limit: Option<u64>,
    /// How long the window is.
    pub window: Option<Duration>,
    /// How long to wait.
    pub retry_after: Option<Duration>,
}

impl UpstreamError {
    /// Whether the same question may be answered when it is asked again a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited(_)
            | Self::Unreachable { .. }
            | Self::TimedOut
            | Self::Storage { .. }
            | Self::Interrupted { .. }
            | Self::Busy
            | Self::Lost => true,
            Self::Failed { status } => is_transient(*status),
            Self::TokenRealm(realm) => realm.is_retryable(),
            Self::NotFound
            | Self::Denied
            | Self::Nonsense { .. }
            | Self::ForbiddenAddress { .. }
            | Self::WrongRange
            | Self::TooLong
            | Self::NotConfigured => false,
        }
    }
}

impl RealmError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Failed { status } => is_transient(*status),
            Self::Refused { .. } | Self::Nonsense { .. } | Self::Untrusted { .. } => false,
        }
    }
}

fn is_transient(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 429)
}
