//! The request and the result of a pull of a manifest. Data types only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::actors::failure::Cause;
use crate::actors::memory_budget::Lease;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::manifests::Manifest;

/// Request for a manifest on behalf of a group. The caller has checked that the group may pull.
#[derive(Clone, Debug)]
pub struct PullManifest {
    /// The group on whose behalf the manifest is pulled.
    pub group: GroupId,
    /// The upstream, account and repository of the image.
    pub origin: Origin,
    /// The tag or digest of the manifest.
    pub reference: Reference,
    /// True for a `HEAD` request.
    pub head: bool,
    /// Time to live of the tags of this upstream.
    pub tag_freshness: Duration,
}

/// A pulled manifest.
#[derive(Clone, Debug)]
pub struct PulledManifest {
    /// The digest: verified, except for a `HEAD` of a manifest that is not stored.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The length in bytes.
    pub size: u64,
    /// The manifest itself; `None` only for a `HEAD` of a manifest that is not stored.
    pub manifest: Option<Leased>,
    /// The source of the manifest.
    pub source: Source,
    /// Time since upstream last confirmed what the tag stands for; `None` for a digest.
    pub age: Option<Duration>,
    /// The failure of the revalidation, if the manifest is served stale.
    pub stale_because: Option<Arc<Cause>>,
}

/// A manifest and, if it is large, the lease of the group that requested it.
#[derive(Clone, Debug)]
pub struct Leased {
    pub(super) manifest: Arc<Manifest>,
    pub(super) lease: Option<Arc<Lease>>,
}

/// Source of a response: the outcome of the cache lookup (compare RFC 9211, `Cache-Status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache, without an upstream request.
    Hit,
    /// The cache, after upstream confirmed the content.
    Revalidated,
    /// The cache, because upstream sent no usable response.
    Stale,
    /// Upstream, by a request that this client caused.
    Miss,
    /// Upstream, by a request that another client had caused already (coalesced).
    Joined,
}

/// Values of the metric label `cache`: the words of [`Source`], and `failed` for a pull without a
/// response from any source.
pub const CACHE_WORDS: [&str; 6] = ["hit", "revalidated", "stale", "miss", "joined", "failed"];

impl PulledManifest {
    /// Creates the result for this manifest. For a tag, `checked_at` is the time at which upstream last confirmed it.
    pub(super) fn new(leased: Leased, source: Source, checked_at: Option<Timestamp>) -> Self {
        let manifest = &leased.manifest;
        Self {
            digest: manifest.digest,
            media_type: manifest.media_type.clone(),
            size: manifest.bytes.len() as u64,
            age: checked_at.map(|at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()),
            manifest: Some(leased),
            source,
            stale_because: None,
        }
    }
}

impl Leased {
    /// Returns the bytes for the client. They count against the group's share of memory until the last copy is dropped.
    pub fn into_bytes(self) -> Bytes {
        self.lease.map_or_else(|| self.manifest.bytes.clone(), Lease::bytes)
    }
}

impl Source {
    /// Returns the value of the response header `X-Cache`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Joined => "joined",
        }
    }
}
