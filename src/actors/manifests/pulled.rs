//! What a pull of a manifest asks and what it gives. Decides nothing.

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

/// Asks for a manifest on behalf of a group that may pull.
#[derive(Clone, Debug)]
pub struct PullManifest {
    /// The group.
    pub group: GroupId,
    /// Where the image is.
    pub origin: Origin,
    /// Which of its manifests.
    pub reference: Reference,
    /// Whether only the headers are wanted.
    pub head: bool,
    /// For how long a tag of this upstream is believed.
    pub tag_freshness: Duration,
}

/// A manifest that the group may have.
#[derive(Clone, Debug)]
pub struct PulledManifest {
    /// Its digest: verified, unless only the headers were wanted and nothing is stored.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The manifest itself; missing only where only the headers were wanted and it is not stored.
    pub manifest: Option<Leased>,
    /// Where it came from.
    pub source: Source,
    /// How long ago upstream last said what the tag stands for.
    pub age: Option<Duration>,
    /// Why upstream could not confirm it, where it is served stale.
    pub stale_because: Option<Arc<Cause>>,
}

/// A manifest, and the lease of the group that requested it, where it is large.
#[derive(Clone, Debug)]
pub struct Leased {
    pub(super) manifest: Arc<Manifest>,
    pub(super) lease: Option<Arc<Lease>>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache, without a word to upstream.
    Hit,
    /// The cache, after upstream confirmed it.
    Revalidated,
    /// The cache, because upstream gave no usable answer.
    Stale,
    /// Upstream.
    Miss,
    /// Upstream, asked for by somebody else at the same time.
    Joined,
}

/// What the label `cache` of a number may say: a [`Source`], or that there was no answer.
pub const CACHE_WORDS: [&str; 6] = ["hit", "revalidated", "stale", "miss", "joined", "failed"];

impl PulledManifest {
    /// This manifest; `checked_at` is when upstream last said that the tag stands for it, where a tag was asked for.
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
    /// The bytes for the client, which count against its group's share for as long as anybody has them.
    pub fn into_bytes(self) -> Bytes {
        self.lease.map_or_else(|| self.manifest.bytes.clone(), Lease::bytes)
    }
}

impl Source {
    /// The value of `X-Cache`.
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
