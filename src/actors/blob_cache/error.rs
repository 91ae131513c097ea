//! Why a blob cannot be had. Says what happened; the status that a client sees is decided elsewhere.

use crate::actors::failure::Cause;
use crate::domain::download::Failure;
use crate::store::error::StoreError;
use crate::upstream::UpstreamError;

/// Why a blob cannot be had, or not to its end. Cheap to clone: everyone who follows a download gets a copy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlobError {
    /// Upstream has no such blob in that repository.
    #[error("upstream has no such blob in this repository")]
    Unknown,
    /// Upstream refuses the repository to this account, or has none of that name.
    #[error("upstream refuses this repository to this account, or does not have it")]
    Denied {
        /// Upstream's own sentence, where it says more.
        message: Option<String>,
    },
    /// Upstream gave no usable answer, also when asked again.
    #[error("upstream has not delivered the blob: {0}")]
    Unavailable(UpstreamError),
    /// Upstream has the content in another length than was promised.
    #[error("upstream has {told} bytes where {expected} were promised")]
    WrongLength {
        /// As the manifest, or upstream's first answer, has it.
        expected: u64,
        /// As upstream has it now.
        told: u64,
    },
    /// Upstream's content has another digest. Nothing of it is kept.
    #[error("upstream's content does not have the digest asked for")]
    WrongDigest,
    /// The blob is not stored, and upstream does not tell its length, so it cannot be passed on either.
    #[error("upstream does not tell how long the blob is")]
    NoLength,
    /// Too many downloads, or waiters for them, are under way.
    #[error("too many downloads are under way")]
    Busy,
    /// Upstream has not begun to deliver within the time a client can be kept waiting. The download goes on.
    #[error("upstream has not begun to deliver in time")]
    TooSlow,
    /// The download ended without an outcome: a fault of ours.
    #[error("the download ended without an outcome")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlobError {
    /// Whether the same question may be answered when it is asked again a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(error) => error.is_retryable(),
            Self::Busy | Self::TooSlow | Self::Interrupted | Self::Store(_) => true,
            Self::Unknown | Self::Denied { .. } | Self::WrongLength { .. } | Self::WrongDigest | Self::NoLength => {
                false
            }
        }
    }

    /// What a failed download means; `upstream` is the last error of upstream.
    pub(super) fn of(failure: Failure, upstream: Option<UpstreamError>) -> Self {
        match failure {
            Failure::Upstream => upstream.map_or(Self::Interrupted, Self::from),
            Failure::WrongLength { expected, told } => Self::WrongLength { expected, told },
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
            BlobError::Store(error) => error.clone().into(),
        }
    }
}
