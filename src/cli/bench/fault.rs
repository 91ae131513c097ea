//! What can be wrong with an answer, by the kinds that are counted. Never holds a secret or a signed address.

use crate::cli::failure::Failure;
use crate::domain::digest::Digest;

/// What was being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A token from the realm.
    Token,
    /// A manifest or an index.
    Manifest,
    /// A configuration or a layer.
    Blob,
}

/// Why a pull failed, and at what.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {fault}", part.name())]
pub(super) struct Wrong {
    /// What was being fetched.
    pub(super) part: Part,
    /// What was wrong.
    pub(super) fault: Fault,
}

/// What was wrong with an answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// The server said no.
    #[error("{sentence} ({status})")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The registry's code for it; empty where it has none.
        code: String,
        /// What it says.
        sentence: String,
    },
    /// No connection: name resolution or TCP.
    #[error("no connection: {0}")]
    Connect(String),
    /// A connection, but no TLS on it.
    #[error("no TLS: {0}")]
    Tls(String),
    /// No answer, or no further byte of one, within `--timeout`.
    #[error("no further byte came in time")]
    Timeout,
    /// Other content than was asked for.
    #[error("the content is {found} and should be {expected}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: String,
    },
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did: {0}")]
    CutOff(String),
    /// A whole answer that a client cannot use.
    #[error("{0}")]
    Unusable(String),
}

impl Part {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
        }
    }

    /// The same fault of this part.
    pub(super) fn wrong(self) -> impl FnOnce(Fault) -> Wrong {
        move |fault| Wrong { part: self, fault }
    }
}

impl Fault {
    /// Its kind in reports.
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

    /// Status and code, where the server said no.
    pub(super) fn status(&self) -> Option<(u16, &str)> {
        if let Self::Status { status, code, .. } = self { Some((*status, code)) } else { None }
    }
}

impl Wrong {
    /// What it means when nothing else was tried yet.
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
