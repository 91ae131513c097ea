//! Local manifest cache: memory first, then the store. Checks and grants links; makes no upstream requests. A failure
//! of the store does not fail a pull to which upstream has responded.

mod records;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::ManifestCacheOptions;
use super::keys::{LinkKey, LinkOf, TagKey, TagOf};
use super::references::{links, named};
use super::request::PullManifest;
use super::response::{Leased, PulledManifest};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::cache_status::CacheStatus;
use crate::actors::evictor::Evictor;
use crate::actors::memory_budget::{MemoryBudget, Reservation};
use crate::actors::memory_removals::{Removals, RemovalsSeen};
use crate::actors::pull_failure::Cause;
use crate::actors::unstored_reports::UnstoredReports;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::freshness::TagState;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::content::{ContentStore, Grant, LookUp, Pulled};
use crate::store::error::StoreError;
use crate::store::large_buffer::SMALL_BYTES;
use crate::store::link::{Link, TagEntry};
use crate::store::manifests::Manifest;
use crate::telemetry::LineLimit;

/// Cached manifests, links and tags, in memory and in the store.
pub(super) struct CachedManifests {
    store: ContentStore,
    upstream: UpstreamHandle,
    memory: MemoryBudget,
    unstored: Arc<UnstoredReports>,
    evictor: Evictor,
    manifests: Cache<Digest, Arc<Manifest>, ByLength>,
    /// Digests to which groups have granted links, by themselves and by the tags by which the groups have pulled them.
    links: Cache<LinkKey, Digest>,
    tags: Cache<TagKey, TagEntry>,
    /// Tags that were served stale since upstream last confirmed them, and why.
    stale: Cache<TagKey, Arc<Cause>>,
    /// Removals of manifests, links and tags from memory.
    removals: Removals,
}

/// Cached information about a tag or a digest.
pub(super) struct Known {
    /// The entry of the tag; `None` if a digest was requested.
    pub(super) tag: Option<TagEntry>,
    /// True if the group has a granted link to the manifest.
    pub(super) linked: bool,
    /// True if the group has an image of this tag and digest; also for a digest.
    pub(super) recorded: bool,
    pub(super) manifest: Option<Leased>,
}

#[derive(Clone)]
struct ByLength;

/// Maximum number of tags that are known to be stale.
const MAX_STALE: usize = 10_000;

/// Initial capacity hint; the cache is bounded by bytes.
const EXPECTED_MANIFESTS: usize = 10_000;

impl CachedManifests {
    /// Creates the cache over this store, with the memory limits of the options.
    pub(super) fn new(
        (store, upstream): (ContentStore, UpstreamHandle),
        memory: MemoryBudget,
        unstored: Arc<UnstoredReports>,
        evictor: Evictor,
        (options, limits): (&ManifestCacheOptions, CacheLimits),
    ) -> Self {
        Self {
            store,
            upstream,
            memory,
            unstored,
            evictor,
            manifests: Cache::with_weighter(EXPECTED_MANIFESTS, options.manifest_memory, ByLength),
            links: Cache::new(limits.known_links.get()),
            tags: Cache::new(options.known_tags.get()),
            stale: Cache::new(MAX_STALE),
            removals: Removals::default(),
        }
    }

    /// Returns the manifest if all that the request needs is in memory, and fresh or to be revalidated in the
    /// background. This is the hit path: no blocking calls.
    pub(super) fn remembered(&self, request: &PullManifest) -> Option<PulledManifest> {
        let (digest, checked_at, status) = match &request.reference {
            Reference::Digest(digest) => (*digest, None, CacheStatus::Hit),
            Reference::Tag(tag) => {
                let entry = self.tags.get(&TagOf(&request.origin, tag))?;
                (entry.digest, Some(entry.checked_at), self.status_at_once(request, &entry)?)
            }
        };
        // A tag that only another group has pulled is looked up, so that it becomes an image of this group, too.
        let linked = self.links.get(&LinkOf(request.group, &request.origin, &request.reference))?;
        let manifest = if linked == digest { self.manifests.get(&digest)? } else { return None };
        // If the group's share of memory is in use, the pull has to wait for it, which this function must not do.
        let lease = if request.head { None } else { self.memory.try_lease(request.group, &manifest.bytes).ok()? };
        Some(PulledManifest::new(Leased { manifest, lease }, status, checked_at))
    }

    /// Returns the cache status of a tag that is served without waiting for upstream; `None` if upstream decides first,
    /// as where it has refused the repository. As upstream's pull limit is nearly reached, tags are fresh for longer.
    pub(super) fn status_at_once(&self, request: &PullManifest, entry: &TagEntry) -> Option<CacheStatus> {
        let age = entry.age()?;
        let mut state = request.freshness.state(age);
        if state != TagState::Fresh {
            state = self.upstream.stretched(&request.origin, request.freshness).state(age);
        }
        match state {
            TagState::Fresh => Some(CacheStatus::Hit),
            TagState::StaleWhileRevalidate => Some(CacheStatus::Revalidating),
            TagState::Stale => None,
        }
    }

    /// Returns this manifest for a client of the group, once the group's share of memory has space for it.
    ///
    /// # Errors
    ///
    /// Fails if the share is in use for too long.
    pub(super) async fn leased(&self, group: GroupId, manifest: Arc<Manifest>) -> Result<Leased, Cause> {
        let lease = self.memory.lease(group, &manifest.bytes).await?;
        Ok(Leased { manifest, lease })
    }

    /// Drops the large manifests that are not being sent to any client from memory.
    pub(super) fn give_up_memory(&self) {
        let is_kept = |bytes: &Bytes| bytes.len() <= SMALL_BYTES || self.memory.is_leased(bytes);
        self.manifests.retain(|_, manifest| is_kept(&manifest.bytes));
    }

    /// Looks up a tag or digest in the store. The manifest is put into memory, so that the next request is a hit.
    /// `None` if the tag is unknown, or the store cannot be read.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a large manifest.
    pub(super) async fn look_up(&self, request: &PullManifest) -> Result<Option<Known>, Cause> {
        let seen = self.removals.seen();
        let fresh_for = request.freshness.time_to_live;
        let found = self.store.look_up(request.group, &request.origin, &request.reference, fresh_for).await;
        let Some(found) = self.reported(found).flatten() else { return Ok(None) };
        let manifest = self.read(request.group, found.digest, found.length).await?;
        let recorded = found.tag.is_none() || found.pulled == Some(found.digest);
        let (linked, recorded) = match found.link.is_some_and(Link::is_granted) {
            true => (true, recorded),
            false => (self.is_allowed(request, &found, manifest.as_ref()).await, true),
        };
        if linked {
            self.note_link(request, found.digest, recorded, seen);
        }
        if let (Reference::Tag(tag), Some(entry)) = (&request.reference, found.tag) {
            self.removals.insert(&self.tags, TagKey::of(request, tag), entry, seen);
        }
        Ok(Some(Known { tag: found.tag, linked, recorded, manifest }))
    }

    /// Returns a stored manifest for this group, whether or not the group has a link to it.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a large manifest.
    pub(super) async fn stored(&self, request: &PullManifest, digest: Digest) -> Result<Option<Leased>, Cause> {
        if let Some(manifest) = self.manifests.get(&digest) {
            return self.leased(request.group, manifest).await.map(Some);
        }
        let reference = Reference::Digest(digest);
        let found = self.store.look_up(request.group, &request.origin, &reference, Duration::ZERO).await;
        let length = self.reported(found).flatten().map_or(0, |found| found.length);
        self.read(request.group, digest, length).await
    }

    /// Grants a link, and returns true, if this group has pulled the tag before, and another group with the same
    /// account has seen it move: upstream would have served this group the same manifest.
    async fn is_allowed(&self, request: &PullManifest, found: &LookUp, manifest: Option<&Leased>) -> bool {
        let (Some(entry), Some(leased), Some(_)) = (found.tag, manifest, found.pulled) else { return false };
        self.grant_tag(request, entry, &leased.manifest).await
    }

    /// Records that the group has pulled this tag, which stands for this manifest, and grants a link to it. Returns
    /// true if the group may have the manifest, also if there is no space to record that.
    async fn grant_tag(&self, request: &PullManifest, entry: TagEntry, manifest: &Manifest) -> bool {
        let Reference::Tag(tag) = &request.reference else { return false };
        let pulled = Pulled::Tag(tag.clone(), entry);
        let links = links(manifest, &named(manifest));
        let grant = Grant { group: request.group, origin: request.origin.clone(), links, pulled };
        match self.evictor.with_room(0, || self.store.grant(grant.clone(), None)).await {
            Err(StoreError::Full) => {
                self.unstored.report(Unstored::NoSpace, Some((&request.origin, &entry.digest)));
                true
            }
            recorded => self.reported(recorded).is_some(),
        }
    }

    /// Puts a granted link into memory. `recorded`: the group also has an image of the tag that it requested.
    fn note_link(&self, request: &PullManifest, digest: Digest, recorded: bool, seen: RemovalsSeen) {
        self.removals.insert(&self.links, LinkKey::of(request, Reference::Digest(digest)), digest, seen);
        if recorded && matches!(request.reference, Reference::Tag(_)) {
            self.removals.insert(&self.links, LinkKey::of(request, request.reference.clone()), digest, seen);
        }
    }

    /// Drops a group's links from memory, after they were removed from the store.
    pub(super) fn forget_group(&self, group: GroupId) {
        self.removals.remove(|| {
            self.links.retain(|key, _| !key.is_of(group));
            self.tags.clear();
        });
    }

    /// Drops a tag from memory, after the store got another entry of it.
    pub(super) fn forget_tag(&self, origin: &Origin, tag: &Tag) {
        self.removals.remove(|| drop(self.tags.remove(&TagOf(origin, tag))));
    }

    /// Drops manifests from memory, after they were removed from the store.
    pub(super) fn forget_manifests(&self, digests: &[Digest]) {
        self.removals.remove(|| {
            for digest in digests {
                self.manifests.remove(digest);
            }
        });
    }

    /// Returns a manifest from memory or the store, with the lease of the group if it is large. `length` is its
    /// length in bytes; 0 if it is not stored.
    async fn read(&self, group: GroupId, digest: Digest, length: u64) -> Result<Option<Leased>, Cause> {
        if let Some(manifest) = self.manifests.get(&digest) {
            return self.leased(group, manifest).await.map(Some);
        }
        if length == 0 {
            return Ok(None);
        }
        let reservation = self.memory.reserve(group, length).await?;
        let seen = self.removals.seen();
        let read = self.store.manifest(digest).await;
        let Some(Manifest { digest: _, media_type, bytes }) = self.reported(read).flatten() else { return Ok(None) };
        let (bytes, lease) = Reservation::lease(reservation, bytes);
        let manifest = Arc::new(Manifest { digest, media_type, bytes });
        self.removals.insert(&self.manifests, digest, manifest.clone(), seen);
        match lease {
            Some(_) => Ok(Some(Leased { manifest, lease })),
            None => self.leased(group, manifest).await.map(Some),
        }
    }

    /// Returns the result of the store. A failure is reported, and the pull goes on without it.
    fn reported<T>(&self, outcome: Result<T, StoreError>) -> Option<T> {
        match outcome {
            Ok(value) => return Some(value),
            Err(StoreError::Closed) => {}
            Err(StoreError::Full) => self.unstored.report(Unstored::NoSpace, None),
            Err(error @ (StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Fleet(_))) => {
                static LINES: LineLimit<()> = LineLimit::new();
                if let Some(left_out) = LINES.admit(&()) {
                    tracing::error!(%error, left_out, "the cache could not be read or written");
                }
            }
        }
        None
    }
}

impl Weighter<Digest, Arc<Manifest>> for ByLength {
    fn weight(&self, _: &Digest, manifest: &Arc<Manifest>) -> u64 {
        // 256 bytes for the entry itself, so that many small manifests are bounded, too.
        manifest.bytes.len() as u64 + 256
    }
}
