//! Outcomes of a download, and the reasons why a blob is not stored or a download fails.

/// The outcome of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The blob is verified and committed.
    Stored,
    /// The blob is verified and readable by the current readers, but not committed.
    NotCommitted,
    /// The blob is not stored, for this reason. No bytes have reached a client.
    Unstored(Unstored),
    /// The file could not be written any further. Each reader continues from this offset with an upstream stream of
    /// its own.
    Spilled {
        /// The number of bytes in the file, all of them hashed.
        at: u64,
    },
    /// The download failed.
    Failed(Failure),
}

/// The reason why a blob is passed on without being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// The blob is longer than the configured maximum.
    TooLong,
    /// The blob is longer than the quota of the group for which it is downloaded.
    OverGroupQuota,
    /// The disk has no space for the blob.
    NoSpace,
    /// The store failed for another reason.
    StoreFailed,
}

impl Unstored {
    /// Returns the value of the metric label `reason`.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::OverGroupQuota => "over_group_quota",
            Self::NoSpace => "no_room",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// The reason why a download failed. None of its bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Upstream refused the request, or failed too often.
    Upstream,
    /// Upstream's content has another length than expected.
    WrongLength {
        /// The expected length, from a manifest or from upstream's first response.
        expected: u64,
        /// The length that upstream reported or delivered.
        reported: u64,
    },
    /// The digest of the content does not match.
    WrongDigest,
    /// The driver reported an event that does not belong to the current action.
    OutOfOrder,
}
