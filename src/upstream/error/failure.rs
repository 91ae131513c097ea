//! Kinds and details of failures: of connections, of responses with an error status, and by a rate limit.

use std::fmt;
use std::time::Duration;

/// The details of a response with an error status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFailure {
    /// The HTTP status.
    pub status: u16,
    /// The error code in the body, if there is one (OCI distribution specification, "Error codes").
    pub code: Option<String>,
    /// The message in the body, shortened, if there is one.
    pub message: Option<String>,
    /// Time to wait before the next request, if upstream reports it.
    pub retry_after: Option<Duration>,
}

/// Kind of a failure before a response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionFailure {
    /// The host's name has no address.
    NameResolution,
    /// The connection was refused.
    Refused,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// The peer closed or reset the connection before it responded, and did so again for the retry.
    Closed,
    /// The response is not valid HTTP/1.1.
    InvalidHttp,
    /// There was no response in time.
    TimedOut,
    /// The HTTP proxy refused the request or failed.
    Proxy,
    /// Another failure of the network.
    Network,
}

/// Rate limit as reported by upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Number of pulls allowed in a window.
    pub limit: Option<u64>,
    /// Length of the window.
    pub window: Option<Duration>,
    /// Time to wait before the next request.
    pub retry_after: Option<Duration>,
}

/// Returns true if the status means that the same request may succeed later: 408 and 425 (RFC 9110, section 15.5.9;
/// RFC 8470) and all 5xx.
pub(in crate::upstream) fn is_transient(status: u16) -> bool {
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

/// Returns ` ("no such page")`, or an empty text.
pub(super) fn quoted(message: Option<&str>) -> String {
    message.map(|message| format!(" (\"{message}\")")).unwrap_or_default()
}
