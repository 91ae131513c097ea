//! Errors of the blob cache. The HTTP status that a client gets is decided in the `http` layer.

use crate::actors::pull_failure::Cause;
use crate::domain::download::Failure;
use crate::store::error::StoreError;
use crate::upstream::UpstreamError;

/// Reason why a blob cannot be read, or not to its end. Cheap to clone: every reader of a download gets a copy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlobError {
    /// Upstream has no such blob in that repository.
    #[error("upstream has no such blob in this repository")]
    Unknown,
    /// Upstream refuses the repository to this account, or has no such repository.
    #[error("upstream refuses this repository to this account, or does not have it")]
    Denied {
        /// Upstream's error message, where it adds information.
        message: Option<String>,
    },
    /// Upstream sent no usable response, also when the request was repeated.
    #[error("upstream has not delivered the blob: {0}")]
    Unavailable(UpstreamError),
    /// Upstream's content has another length than expected.
    #[error("upstream has {reported} bytes instead of {expected}")]
    WrongLength {
        /// Length in bytes by the manifest, or by upstream's first response.
        expected: u64,
        /// Length in bytes by upstream's present response.
        reported: u64,
    },
    /// Upstream's content has another digest than requested. Nothing of it is stored.
    #[error("upstream's content does not have the requested digest")]
    WrongDigest,
    /// The blob is not stored, and upstream does not report its length. It cannot be passed on, because clients
    /// need a `Content-Length`.
    #[error("upstream does not report the length of the blob")]
    NoLength,
    /// Too many downloads are running, or too many requests are waiting for them.
    #[error("too many downloads are under way")]
    Busy,
    /// Upstream has not begun to deliver in the time that a client can be kept waiting. The download goes on.
    #[error("upstream has not begun to deliver in time")]
    TooSlow,
    /// The download ended without an outcome: a fault of this service.
    #[error("the download ended without an outcome")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlobError {
    /// Returns true if the same request may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(error) => error.is_retryable(),
            Self::Busy | Self::TooSlow | Self::Interrupted | Self::Store(_) => true,
            Self::Unknown | Self::Denied { .. } | Self::WrongLength { .. } | Self::WrongDigest | Self::NoLength => {
                false
            }
        }
    }

    /// Converts the failure of a download; `upstream` is upstream's last error.
    pub(super) fn of(failure: Failure, upstream: Option<UpstreamError>) -> Self {
        match failure {
            Failure::Upstream => upstream.map_or(Self::Interrupted, Self::from),
            Failure::WrongLength { expected, reported } => Self::WrongLength { expected, reported },
            Failure::WrongDigest => Self::WrongDigest,
            Failure::OutOfOrder => Self::Interrupted,
        }
    }
}

impl From<UpstreamError> for BlobError {
    fn from(error: UpstreamError) -> Self {
        if let UpstreamError::Denied { message } = error {
            Self::Denied { message }
        } else if error == UpstreamError::NotFound {
            Self::Unknown
        } else {
            Self::Unavailable(error)
        }
    }
}

impl From<&BlobError> for Cause {
    fn from(error: &BlobError) -> Self {
        match error {
            BlobError::Unknown => Self::NotFound,
            BlobError::Denied { message } => Self::Denied { message: message.clone() },
            BlobError::Unavailable(error) => error.into(),
            BlobError::WrongLength { .. } | BlobError::WrongDigest | BlobError::NoLength => {
                Self::InvalidResponse { what: error.to_string() }
            }
            BlobError::Busy => Self::Busy,
            BlobError::TooSlow => Self::TimedOut,
            BlobError::Interrupted => Self::Internal,
            BlobError::Store(_) => Self::Store,
        }
    }
}
