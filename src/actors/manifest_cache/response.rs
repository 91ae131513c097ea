//! Results of the manifest cache, for its callers and within it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::actors::cache_status::CacheStatus;
use crate::actors::memory_budget::Lease;
use crate::actors::pull_failure::Cause;
use crate::actors::single_flight::Recall;
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor, Named};
use crate::store::manifests::Manifest;

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
    pub source: CacheStatus,
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

/// A verified manifest.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) manifest: Arc<Manifest>,
    /// The content that it refers to.
    pub(super) named: Arc<Named>,
    /// True if it was stored; false if it is too long or the store failed.
    pub(super) stored: bool,
    /// The lease of the group for which it was fetched, if it is large. Held so that the group's share stays in use.
    pub(super) _lease: Option<Arc<Lease>>,
}

/// An outcome that several callers may share.
#[derive(Clone, Debug)]
pub(super) struct SharedOutcome<T> {
    pub(super) outcome: Result<T, Cause>,
    /// True if another caller's request was under way already, or had just ended.
    pub(super) coalesced: bool,
    /// True if a request was sent to upstream for this caller.
    pub(super) sent: bool,
}

/// Maximum length of a manifest whose blobs are looked for, in bytes: it is parsed on the thread that serves clients.
const MAX_EXAMINED_BYTES: u64 = 256 << 10;

impl PulledManifest {
    /// Returns the blobs that the manifest names; none for an index, and if they are not known.
    pub fn blobs(&self) -> Vec<Descriptor> {
        let manifest = self.manifest.as_ref().filter(|_| self.size <= MAX_EXAMINED_BYTES);
        let named = manifest.and_then(|leased| manifest::parse(&self.media_type, &leased.manifest.bytes).ok());
        named.unwrap_or_default().blobs
    }

    /// Creates the result for this manifest. For a tag, `checked_at` is the time at which upstream last confirmed it.
    pub(super) fn new(leased: Leased, source: CacheStatus, checked_at: Option<Timestamp>) -> Self {
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

impl Fetched {
    /// Returns a function that returns this manifest again as long as another holder keeps it in memory.
    pub(super) fn recall(&self) -> Recall<SharedOutcome<Self>> {
        let (manifest, named, stored) = (Arc::downgrade(&self.manifest), Arc::downgrade(&self.named), self.stored);
        Box::new(move || {
            let fetched = Self { manifest: manifest.upgrade()?, named: named.upgrade()?, stored, _lease: None };
            Some(SharedOutcome::of(Ok(fetched)))
        })
    }
}

impl<T> SharedOutcome<T> {
    /// Returns the outcome for the caller that started the work. `sent` is true if a request was sent to upstream.
    pub(super) fn new(outcome: Result<T, Cause>, sent: bool) -> Self {
        Self { outcome, coalesced: false, sent }
    }

    /// Returns the outcome of a request that was sent.
    pub(super) fn of(outcome: Result<T, Cause>) -> Self {
        Self::new(outcome, true)
    }

    /// Returns an outcome for which no request was sent.
    pub(super) fn at_once(outcome: Result<T, Cause>) -> Self {
        Self::new(outcome, false)
    }

    /// Returns the outcome for a caller whose request was coalesced.
    pub(super) fn coalesced(self) -> Self {
        Self { outcome: self.outcome, coalesced: true, sent: false }
    }
}
