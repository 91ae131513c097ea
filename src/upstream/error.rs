//! What can go wrong with an upstream, one kind of error per cause. Never holds a secret or the query of a signed address, and
//! knows no status code of ours.

use std::fmt;
use std::time::Duration;

/// Why an upstream gave no usable response. Cheap to clone: everyone who shares a request gets a copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The repository, the tag or the content does not exist there.
    #[error("upstream does not have it")]
    NotFound,
    /// Upstream refuses this repository to this account; Docker Hub says so of what does not exist, too.
    #[error("upstream refuses it to this account, or does not have it{}", quoted(.message.as_deref()))]
    Denied {
        /// Upstream's own sentence, where it says more than that access is denied.
        message: Option<String>,
    },
    /// Upstream refuses the request for good: a 4xx status that has no variant of its own.
    #[error("upstream refuses the request: {0}")]
    Refused(HttpFailure),
    /// Upstream asks to come back later.
    #[error("upstream's rate limit is reached")]
    RateLimited(RateLimit),
    /// No connection, or none that lasted until a response began.
    #[error("upstream cannot be reached{}: {failure}: {reason}", named(.elsewhere.as_deref()))]
    Unreachable {
        /// What failed.
        failure: ConnectionFailure,
        /// The host that upstream redirected to, where that is what cannot be reached.
        elsewhere: Option<String>,
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// No connection or no response within the configured time.
    #[error("upstream did not respond in time")]
    TimedOut,
    /// Upstream is out of order: a 5xx status, or a 4xx one that says "later".
    #[error("upstream fails: {0}")]
    ServerError(HttpFailure),
    /// The storage that upstream redirected to refused what upstream had granted: its address may have expired.
    #[error("the storage that upstream redirected to responded with status {status}")]
    Storage {
        /// The HTTP status.
        status: u16,
    },
    /// A successful response that cannot be what was requested.
    #[error("upstream's response is invalid: {what}")]
    InvalidResponse {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Upstream has it in a form that this service does not support.
    #[error("upstream has it only as {what}, which is not supported")]
    Unsupported {
        /// The form.
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
    /// A range was requested and another one was offered.
    #[error("upstream offered another range than the one requested")]
    WrongRange,
    /// The content stopped in the middle: the connection broke, or brought nothing for too long.
    #[error("the connection to upstream broke: {reason}")]
    Interrupted {
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// A list is longer than [`MAX_LIST_BYTES`](super::MAX_LIST_BYTES).
    #[error("upstream's response is too long")]
    TooLong,
    /// Too many requests to this upstream are under way.
    #[error("too many requests to this upstream are under way")]
    Busy,
    /// There is no such upstream, or no such account of it.
    #[error("this upstream or account is not configured")]
    NotConfigured,
    /// The work ended without an outcome: a fault of ours.
    #[error("the request to upstream ended without an outcome")]
    Lost,
}

/// What a response with a failing status said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFailure {
    /// The HTTP status.
    pub status: u16,
    /// The error code in the body (OCI distribution specification, "Error codes"), if there is one.
    pub code: Option<String>,
    /// The sentence in the body, shortened, if there is one.
    pub message: Option<String>,
}

/// What failed before a response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionFailure {
    /// The host's name has no address.
    NameResolution,
    /// Nothing listens there.
    Refused,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// The peer closed or reset the connection before it responded, twice.
    Closed,
    /// What responded did not speak HTTP/1.1.
    InvalidHttp,
    /// Nothing came in time.
    TimedOut,
    /// The HTTP proxy in between refused or failed.
    Proxy,
    /// The network, in another way.
    Network,
}

/// Why a token realm gave no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// It gives nobody without credentials a token for this repository.
    #[error("it refuses an anonymous token with status {status}")]
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// It refuses the configured credentials.
    #[error("it refuses the configured credentials with status {status}")]
    Refused {
        /// 401 or 403.
        status: u16,
    },
    /// No connection, or none that lasted.
    #[error("{host} cannot be reached: {failure}: {reason}")]
    Unreachable {
        /// The realm's host.
        host: String,
        /// What failed.
        failure: ConnectionFailure,
        /// The innermost reason, in a few words.
        reason: String,
    },
    /// Another status than success.
    #[error("it responded with {0}")]
    Failed(HttpFailure),
    /// Success without a token, or a challenge without a usable realm.
    #[error("invalid: {what}")]
    InvalidResponse {
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
    /// Number of pulls allowed in a window.
    pub limit: Option<u64>,
    /// Length of the window.
    pub window: Option<Duration>,
    /// Time to wait before the next request.
    pub retry_after: Option<Duration>,
}

impl UpstreamError {
    /// Whether the same request may succeed a little later.
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
            Self::NotFound
            | Self::Denied { .. }
            | Self::Refused(_)
            | Self::InvalidResponse { .. }
            | Self::Unsupported { .. }
            | Self::ForbiddenAddress { .. }
            | Self::WrongRange
            | Self::TooLong
            | Self::NotConfigured => false,
        }
    }

    /// Whether a `HEAD` that failed like this was refused for its method, and not only this time.
    pub(super) fn refuses_method(&self) -> bool {
        let transient = matches!(self, Self::ServerError(failure) if failure.status != 501);
        self.leaves_get_open() && !transient
    }

    /// Whether a `GET` may succeed where a `HEAD` has failed like this: some registries, and the storage behind some, know no
    /// `HEAD`, refuse it or close the connection. What concerns the connection or the account is the same for both.
    pub(super) fn leaves_get_open(&self) -> bool {
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
            | Self::NotConfigured
            | Self::Lost => false,
        }
    }
}

impl RealmError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Failed(failure) => is_transient(failure.status),
            Self::Denied { .. } | Self::Refused { .. } | Self::InvalidResponse { .. } | Self::Untrusted { .. } => false,
        }
    }
}

/// Whether a status says that the same request may succeed later: 408 and 425 (RFC 9110, section 15.5.9; RFC 8470) and all of 5xx.
pub(super) fn is_transient(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 425)
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {}{}", self.status, quoted(self.message.as_deref()))
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameResolution => "its name cannot be resolved",
            Self::Refused => "it refused the connection",
            Self::Tls => "TLS failed",
            Self::Closed => "it closed the connection before it responded",
            Self::InvalidHttp => "its response is not valid HTTP",
            Self::TimedOut => "it did not respond in time",
            Self::Proxy => "the HTTP proxy failed",
            Self::Network => "the network failed",
        })
    }
}

/// ` at HOST`, or nothing.
fn named(host: Option<&str>) -> String {
    host.map(|host| format!(" at {host}")).unwrap_or_default()
}

/// ` ("no such page")`, or nothing.
fn quoted(message: Option<&str>) -> String {
    message.map(|message| format!(" (\"{message}\")")).unwrap_or_default()
}
