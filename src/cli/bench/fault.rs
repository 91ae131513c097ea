//! Errors of pulls, by the kinds that are counted. They never contain a secret or a signed URL.

use crate::cli::failure::Failure;
use crate::domain::digest::Digest;

/// Content that is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A token from the token endpoint.
    Token,
    /// A manifest or an index.
    Manifest,
    /// A configuration or a layer.
    Blob,
}

/// Error of a pull.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {fault}", part.name())]
pub(super) struct PullError {
    /// Content that was being fetched.
    pub(super) part: Part,
    /// Cause of the failure.
    pub(super) fault: Fault,
}

/// Cause of a failed request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// The server refused the request.
    #[error("{sentence} ({status})")]
    Status {
        /// HTTP status.
        status: u16,
        /// Error code of the registry; empty where it has none.
        code: String,
        /// Error message of the registry.
        sentence: String,
    },
    /// Name resolution or the TCP connection failed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The TLS handshake failed.
    #[error("no TLS: {0}")]
    Tls(String),
    /// No response, or no further byte of it, was received within `--timeout`.
    #[error("no further byte was received within the timeout")]
    Timeout,
    /// The content does not have the requested digest.
    #[error("the content is {found} and should be {expected}")]
    WrongDigest {
        /// Requested digest.
        expected: Digest,
        /// Digest of the received content, or the length that it exceeds.
        found: String,
    },
    /// The connection ended before the response was complete.
    #[error("the connection ended before the response was complete: {0}")]
    CutOff(String),
    /// A complete response that a client cannot use.
    #[error("{0}")]
    Unusable(String),
}

impl Part {
    /// Returns the name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
        }
    }

    /// Returns a function that turns a fault into an error of this part.
    pub(super) fn error(self) -> impl FnOnce(Fault) -> PullError {
        move |fault| PullError { part: self, fault }
    }
}

impl Fault {
    /// Returns the kind in reports.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "TLS",
            Self::Timeout => "timeout",
            Self::WrongDigest { .. } => "wrong digest",
            Self::CutOff(_) => "cut off",
            Self::Unusable(_) => "unusable",
        }
    }

    /// Returns status and error code, where the server refused.
    pub(super) fn status(&self) -> Option<(u16, &str)> {
        if let Self::Status { status, code, .. } = self { Some((*status, code)) } else { None }
    }
}

impl PullError {
    /// Returns the failure of the subcommand, for an error of the first pull.
    pub(super) fn at_first(self, url: &str, image: &str) -> Failure {
        let place = format!("{image} from {url}, {}", self.part.name());
        match self.fault {
            Fault::Status { status, sentence, .. } => Failure::refused(status, &format!("{place}: {sentence}")),
            fault @ (Fault::WrongDigest { .. } | Fault::Unusable(_)) => Failure::Bench(format!("{place}: {fault}")),
            fault @ (Fault::Connect(_) | Fault::Tls(_) | Fault::Timeout | Fault::CutOff(_)) => {
                Failure::Unreachable { url: url.to_owned(), problem: fault.to_string() }
            }
        }
    }
}
