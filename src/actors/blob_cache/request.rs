//! Request to the blob cache.

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

impl OpenBlob {
    /// Returns the key under which downloads of the blob are shared: all groups of an account have the same.
    pub(super) fn key(&self) -> BlobKey {
        BlobKey { origin: self.origin.clone(), digest: self.digest }
    }
}
