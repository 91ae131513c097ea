//! Request to the blob cache, and what it reports of downloads.

use super::upstream::BlobKey;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;

/// Request for a blob on behalf of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenBlob {
    /// The group on whose behalf the blob is requested.
    pub group: GroupId,
    /// The upstream, account and repository of the blob.
    pub origin: Origin,
    /// The digest of the blob.
    pub digest: Digest,
}

/// A download that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningDownload {
    /// The origin of the blob.
    pub origin: Origin,
    /// The digest of the blob.
    pub digest: Digest,
    /// Number of bytes that have arrived.
    pub received: u64,
    /// Length of the blob in bytes; `None` until upstream delivers it.
    pub length: Option<u64>,
    /// Speed of the last seconds; `None` at the beginning.
    pub bytes_per_second: Option<u64>,
}

impl OpenBlob {
    /// Returns the key under which downloads of the blob are shared: it is the same for all groups of an account.
    pub(super) fn key(&self) -> BlobKey {
        BlobKey { origin: self.origin.clone(), digest: self.digest, granted: false }
    }
}
