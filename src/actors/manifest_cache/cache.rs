//! Local manifest cache: memory first, then index and files. Checks and grants links; makes no upstream requests. A
//! failure of the store does not fail a pull that upstream has answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::task::spawn_blocking;

use super::ManifestCacheOptions;
use super::keys::{LinkKey, LinkOf, TagKey, TagOf};
use super::references::{links, named};
use super::request::PullManifest;
use super::response::{Fetched, Leased, PulledManifest};
use crate::actors::cache_status::CacheStatus;
use crate::actors::memory_budget::{MemoryBudget, Reservation};
use crate::actors::pull_failure::Cause;
use crate::actors::unstored_reports::UnstoredReports;
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::reference::Reference;
use crate::store::embedded::index::{Index, Link, TagEntry};
use crate::store::error::StoreError;
use crate::store::large_buffer::SMALL_BYTES;
use crate::store::manifests::{Manifest, ManifestStore};

/// Cached manifests, links and tags, in memory and on disk.
pub(super) struct CachedManifests {
    index: Arc<Index>,
    store: Arc<ManifestStore>,
    memory: MemoryBudget,
    unstored: Arc<UnstoredReports>,
    manifests: Cache<Digest, Arc<Manifest>, ByLength>,
    links: Cache<LinkKey, ()>,
    tags: Cache<TagKey, TagEntry>,
    /// Number of removals so far. An entry that was read from disk before a removal is not put into memory after it.
    forgotten: AtomicU64,
    /// Held for writing while an unlinked manifest is removed, and for reading while a group is granted a manifest.
    removing: RwLock<()>,
}

/// Cached information about a tag or a digest.
pub(super) struct Known {
    /// The entry of the tag; `None` if a digest was requested.
    pub(super) tag: Option<TagEntry>,
    /// True if the group has a granted link to the manifest.
    pub(super) linked: bool,
    pub(super) manifest: Option<Leased>,
}

/// Preparation for reading a manifest: the manifest, if it is in memory already, or reserved memory, if it is large.
#[derive(Default)]
struct ToRead {
    in_memory: Option<Arc<Manifest>>,
    reservation: Option<Reservation>,
}

#[derive(Clone)]
struct ByLength;

/// Initial capacity hint; the cache is bounded by bytes.
const EXPECTED_MANIFESTS: usize = 10_000;

impl CachedManifests {
    /// Creates the cache over this index and store, with the memory limits of the options.
    pub(super) fn new(
        index: Arc<Index>,
        store: Arc<ManifestStore>,
        memory: MemoryBudget,
        unstored: Arc<UnstoredReports>,
        options: &ManifestCacheOptions,
    ) -> Self {
        Self {
            index,
            store,
            memory,
            unstored,
            manifests: Cache::with_weighter(EXPECTED_MANIFESTS, options.memory_bytes, ByLength),
            links: Cache::new(options.known_links),
            tags: Cache::new(options.known_tags),
            forgotten: AtomicU64::new(0),
            removing: RwLock::new(()),
        }
    }

    /// Returns the manifest if all that the request needs is in memory and fresh. This is the hit path:
    /// no blocking calls.
    pub(super) fn remembered(&self, request: &PullManifest) -> Option<PulledManifest> {
        let (digest, checked_at) = match &request.reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => {
                let entry = self.tags.get(&TagOf(&request.origin, tag))?;
                is_fresh(&entry, request.tag_freshness).then_some((entry.digest, Some(entry.checked_at)))?
            }
        };
        self.links.get(&LinkOf(request.group, &request.origin, digest))?;
        let manifest = self.manifests.get(&digest)?;
        // If the group's share of memory is in use, the pull has to wait for it, which this function must not do.
        let lease = if request.head { None } else { self.memory.try_lease(request.group, &manifest.bytes).ok()? };
        Some(PulledManifest::new(Leased { manifest, lease }, CacheStatus::Hit, checked_at))
    }

    /// Returns this manifest for a client of the group, once the group's share of memory has room for it.
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

    /// Looks the request up in the index and the store, and keeps the result in memory for the next request.
    /// Returns `None` for an unknown tag, and if the index cannot be read, which is logged.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a large manifest.
    pub(super) async fn look_up(self: &Arc<Self>, request: &PullManifest) -> Result<Option<Known>, Cause> {
        let group = request.group;
        let (cache, wanted) = (self.clone(), request.clone());
        let to_read = self.reserve(group, move || cache.digest_of(&wanted)).await?;
        let (cache, request) = (self.clone(), request.clone());
        let known = self.blocking(move || cache.look_up_blocking(&request, to_read)).await.unwrap_or(None);
        let Some(known) = known else { return Ok(None) };
        let manifest = self.with_lease(group, known.manifest).await?;
        Ok(Some(Known { manifest, ..known }))
    }

    /// Returns the stored manifest with this digest, with a lease of this group. Does not check links: the caller
    /// must have upstream's confirmation.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a large manifest.
    pub(super) async fn stored(self: &Arc<Self>, group: GroupId, digest: Digest) -> Result<Option<Leased>, Cause> {
        let to_read = self.reserve(group, move || Ok(Some(digest))).await?;
        let cache = self.clone();
        let manifest = self.blocking(move || cache.read(&digest, to_read)).await.unwrap_or(None);
        self.with_lease(group, manifest).await
    }

    /// Returns the manifest that `find` names, if it is in memory, or reserves memory for it, if it is large.
    async fn reserve(
        self: &Arc<Self>,
        group: GroupId,
        find: impl FnOnce() -> Result<Option<Digest>, StoreError> + Send + 'static,
    ) -> Result<ToRead, Cause> {
        let cache = self.clone();
        let found = self.blocking(move || {
            let Some(digest) = find()? else { return Ok((None, 0)) };
            match cache.manifests.peek(&digest) {
                Some(manifest) => Ok((Some(manifest), 0)),
                None => Ok((None, cache.store.length(&digest)?)),
            }
        });
        let (in_memory, length) = found.await.unwrap_or_default();
        Ok(ToRead { in_memory, reservation: self.memory.reserve(group, length).await? })
    }

    /// Adds a lease to a manifest that was read, if it is large and has none yet.
    async fn with_lease(&self, group: GroupId, manifest: Option<Leased>) -> Result<Option<Leased>, Cause> {
        match manifest {
            Some(Leased { manifest, lease: None }) => self.leased(group, manifest).await.map(Some),
            leased => Ok(leased),
        }
    }

    fn digest_of(&self, request: &PullManifest) -> Result<Option<Digest>, StoreError> {
        match &request.reference {
            Reference::Digest(digest) => Ok(Some(*digest)),
            Reference::Tag(tag) => Ok(self.index.tag(&request.origin, tag)?.map(|entry| entry.digest)),
        }
    }

    /// Grants the group a link to a manifest that upstream has served to its account, and adds referenced links to
    /// the content that the manifest refers to. A failure is logged.
    pub(super) async fn grant(self: &Arc<Self>, request: &PullManifest, fetched: &Fetched) {
        let (cache, request, fetched) = (self.clone(), request.clone(), fetched.clone());
        drop(self.blocking(move || cache.grant_blocking(&request, &fetched)).await);
    }

    /// As [`Self::grant`], for a stored manifest that upstream has confirmed by a `HEAD`.
    pub(super) async fn grant_stored(self: &Arc<Self>, request: &PullManifest, manifest: &Arc<Manifest>) {
        let (cache, request, manifest) = (self.clone(), request.clone(), manifest.clone());
        let granted = self.blocking(move || {
            let named = Arc::new(named(&manifest));
            cache.grant_blocking(&request, &Fetched { manifest, named, stored: true, _lease: None })
        });
        drop(granted.await);
    }

    /// Records the digest that upstream's `HEAD` named for a manifest that is not stored. Many clients then request
    /// that digest, and their next pull by tag must find what they got. This records the digest only. It grants no
    /// access to stored bytes.
    pub(super) async fn note_digest(self: &Arc<Self>, request: &PullManifest, digest: Digest, size: u64) {
        let (cache, request) = (self.clone(), request.clone());
        let noted = self.blocking(move || {
            let named = Link::referenced(Some(size));
            cache.index.add_links(request.group, &request.origin, &[(digest, named)])?;
            cache.set_tag(&request, digest)
        });
        drop(noted.await);
    }

    /// Forgets a tag that upstream no longer has.
    pub(super) async fn drop_tag(self: &Arc<Self>, request: &PullManifest) {
        let Reference::Tag(tag) = request.reference.clone() else { return };
        let (cache, origin) = (self.clone(), request.origin.clone());
        let dropped = self.blocking(move || {
            // The index first: a lookup between the two would otherwise put the old entry back into memory.
            let dropped = cache.index.drop_tag(&origin, &tag);
            cache.tags.remove(&TagOf(&origin, &tag));
            dropped
        });
        drop(dropped.await);
    }

    /// Records that upstream now refuses the tag's repository, so that the tag is not served stale.
    pub(super) async fn deny_tag(self: &Arc<Self>, request: &PullManifest) {
        let Reference::Tag(tag) = request.reference.clone() else { return };
        let (cache, origin) = (self.clone(), request.origin.clone());
        let denied = self.blocking(move || {
            let denied = cache.index.deny_tag(&origin, &tag);
            cache.tags.remove(&TagOf(&origin, &tag));
            denied
        });
        drop(denied.await);
    }

    /// Drops a group's links from memory, after they were removed from the index. All tags are dropped:
    /// their keys do not name groups.
    pub(super) fn forget_group(&self, group: GroupId) {
        // Before the removal: a lookup that read the old state sees the new count, and does not insert it afterwards.
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.links.retain(|key, ()| !key.is_of(group));
        self.tags.clear();
    }

    /// Removes a manifest, unless a group has a link to it. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) fn remove_unlinked(&self, digest: &Digest) -> Result<(), StoreError> {
        // No group can be granted the manifest between the check and the removal.
        let _guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
        if self.index.is_linked(digest)? {
            return Ok(());
        }
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.manifests.remove(digest);
        self.store.remove(digest)
    }

    /// Runs work of the store on a blocking thread. A failure is logged.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Cause> {
        match spawn_blocking(work).await {
            Ok(Err(StoreError::Full)) => {
                self.unstored.report(Unstored::NoSpace, None);
                Err(Cause::Store)
            }
            Ok(done) => Ok(done?),
            Err(panic) => Err(StoreError::Io(panic.to_string()).into()),
        }
    }

    fn grant_blocking(&self, request: &PullManifest, fetched: &Fetched) -> Result<(), StoreError> {
        let Fetched { manifest, named, stored, _lease: _ } = fetched;
        // The manifest must not be removed between being stored and being linked.
        let _guard = self.removing.read().unwrap_or_else(PoisonError::into_inner);
        if *stored {
            self.store.put(manifest)?;
            self.manifests.insert(manifest.digest, manifest.clone());
        }
        self.link(request, manifest.digest, &links(manifest, named))?;
        self.set_tag(request, manifest.digest)
    }

    fn look_up_blocking(&self, request: &PullManifest, to_read: ToRead) -> Result<Option<Known>, StoreError> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let (digest, tag) = match &request.reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => match self.index.tag(&request.origin, tag)? {
                Some(entry) => (entry.digest, Some(entry)),
                None => return Ok(None),
            },
        };
        let manifest = self.read(&digest, to_read)?;
        let linked = self.is_linked(request, digest, tag, manifest.as_ref().map(|leased| &leased.manifest))?;
        if self.is_current(forgotten) {
            if linked {
                self.links.insert(LinkKey::of(request, digest), ());
            }
            if let (Reference::Tag(tag), Some(entry)) = (&request.reference, tag) {
                self.tags.insert(TagKey::of(request, tag), entry);
            }
        }
        Ok(Some(Known { tag, linked, manifest }))
    }

    /// Returns true if the group has a granted link to the manifest. Grants one if the group has pulled
    /// this tag before, and another group with the same account has seen it move: upstream would have
    /// responded the same to this group.
    fn is_linked(
        &self,
        request: &PullManifest,
        digest: Digest,
        entry: Option<TagEntry>,
        manifest: Option<&Arc<Manifest>>,
    ) -> Result<bool, StoreError> {
        if self.index.link(request.group, &request.origin, &digest)?.is_some_and(|link| link.is_granted()) {
            return Ok(true);
        }
        let (Reference::Tag(tag), Some(entry), Some(manifest)) = (&request.reference, entry, manifest) else {
            return Ok(false);
        };
        if !self.index.has_tag(request.group, &request.origin, tag)? {
            return Ok(false);
        }
        let links = links(manifest, &named(manifest));
        let noted = self.index.add_links(request.group, &request.origin, &links);
        match noted.and_then(|()| self.index.set_tag(request.group, &request.origin, tag, entry)) {
            // The group may have the manifest, even if the link cannot be recorded.
            Err(StoreError::Full) => self.unstored.report(Unstored::NoSpace, Some(&request.origin)),
            noted => noted?,
        }
        Ok(true)
    }

    /// Reads a manifest from memory or the disk. Its bytes hold the reserved memory, and its lease holds
    /// the group's share.
    fn read(&self, digest: &Digest, to_read: ToRead) -> Result<Option<Leased>, StoreError> {
        let ToRead { in_memory, reservation } = to_read;
        // The tag may have moved since the preparation.
        let in_memory = in_memory.filter(|manifest| manifest.digest == *digest);
        if let Some(manifest) = self.manifests.get(digest).or(in_memory) {
            let lease = reservation.and_then(|reservation| reservation.lease_of(&manifest.bytes));
            return Ok(Some(Leased { manifest, lease }));
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let Some(Manifest { digest: _, media_type, bytes }) = self.store.read(digest)? else { return Ok(None) };
        let (bytes, lease) = Reservation::lease(reservation, bytes);
        let manifest = Arc::new(Manifest { digest: *digest, media_type, bytes });
        if self.is_current(forgotten) {
            self.manifests.insert(*digest, manifest.clone());
        }
        Ok(Some(Leased { manifest, lease }))
    }

    /// Adds links of the group. The granted link to `digest`, which is one of them, is kept in memory.
    fn link(&self, request: &PullManifest, digest: Digest, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        self.index.add_links(request.group, &request.origin, links)?;
        if self.is_current(forgotten) {
            self.links.insert(LinkKey::of(request, digest), ());
        }
        Ok(())
    }

    /// Records that the tag stands for this digest now. Does nothing if a digest was requested.
    fn set_tag(&self, request: &PullManifest, digest: Digest) -> Result<(), StoreError> {
        let Reference::Tag(tag) = &request.reference else { return Ok(()) };
        let entry = TagEntry { digest, checked_at: Timestamp::now(), denied: false };
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        self.index.set_tag(request.group, &request.origin, tag, entry)?;
        if self.is_current(forgotten) {
            self.tags.insert(TagKey::of(request, tag), entry);
        }
        Ok(())
    }

    /// Returns true if nothing was removed since the count was `forgotten`, so that what was read then
    /// may be kept in memory.
    fn is_current(&self, forgotten: u64) -> bool {
        forgotten == self.forgotten.load(Ordering::SeqCst)
    }
}

impl Weighter<Digest, Arc<Manifest>> for ByLength {
    fn weight(&self, _: &Digest, manifest: &Arc<Manifest>) -> u64 {
        // 256 bytes for the entry itself, so that many small manifests are bounded, too.
        manifest.bytes.len() as u64 + 256
    }
}

/// Returns true if the entry of a tag is younger than `freshness`, and upstream does not refuse its repository.
pub(super) fn is_fresh(entry: &TagEntry, freshness: Duration) -> bool {
    let age = Duration::try_from(Timestamp::now().duration_since(entry.checked_at));
    !entry.denied && age.is_ok_and(|age| age < freshness)
}
