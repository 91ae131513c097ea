//! Requests of the blob cache to upstream.

use crate::actors::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests, Urgency};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;

/// Sender of requests for blobs. A trait, so that tests can inject failures.
pub trait BlobUpstream: Requests<HeadBlob> + Requests<GetBlob> + Requests<GetBlobRange> {}

impl<T: Requests<HeadBlob> + Requests<GetBlob> + Requests<GetBlobRange>> BlobUpstream for T {}

/// Key under which downloads are shared: a blob, as this account gets it from this repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlobKey {
    pub(super) origin: Origin,
    pub(super) digest: Digest,
    /// True for a download that may come from what replicas share, because all groups that wait for it have a granted
    /// link. A group without one never joins it: only what upstream serves grants a link.
    pub(super) granted: bool,
}

impl BlobKey {
    /// Returns the request for the head, on behalf of this group if one is known.
    pub(super) fn head(&self, group: Option<GroupId>) -> HeadBlob {
        HeadBlob { group, origin: self.origin.clone(), digest: self.digest }
    }

    /// Returns the request for the content from this offset on.
    pub(super) fn content(&self, from: u64) -> GetBlob {
        GetBlob { origin: self.origin.clone(), digest: self.digest, from, granted: self.granted }
    }

    /// Returns the request for a range, at least one byte.
    pub(super) fn range(&self, range: std::ops::Range<u64>, urgency: Urgency) -> GetBlobRange {
        GetBlobRange { origin: self.origin.clone(), digest: self.digest, range, urgency }
    }
}
