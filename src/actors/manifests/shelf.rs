//! What is at hand of manifests: in memory for most requests, in the index and the store for the rest. Knows which group
//! has which; asks nobody. A store that fails keeps nobody from what upstream gave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::task::spawn_blocking;

use super::super::manifest_cache::{Fetched, ManifestCacheOptions};
use super::keys::{LinkKey, LinkOf, TagKey, TagOf};
use super::names::{links, named};
use super::pulled::{Leased, PullManifest, PulledManifest, Source};
use crate::actors::failure::Cause;
use crate::actors::memory_budget::{MemoryBudget, Reservation};
use crate::actors::unstored::UnstoredReports;
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::index::{Index, Link, TagEntry};
use crate::store::large_buffer::SMALL_BYTES;
use crate::store::manifests::{Manifest, ManifestStore};

/// Manifests, links and tags, in memory and on the disk.
pub(super) struct Shelf {
    index: Arc<Index>,
    store: Arc<ManifestStore>,
    memory: MemoryBudget,
    unstored: Arc<UnstoredReports>,
    manifests: Cache<Digest, Arc<Manifest>, ByLength>,
    links: Cache<LinkKey, ()>,
    tags: Cache<TagKey, TagEntry>,
    /// Counts what was taken away: what was read before that is not remembered.
    forgotten: AtomicU64,
    /// Held for writing while a manifest is removed that nobody has, and for reading while somebody gets one.
    removing: RwLock<()>,
}

/// What is known here about a tag or a digest.
pub(super) struct Known {
    /// What the tag stands for; missing where a digest was asked for.
    pub(super) tag: Option<TagEntry>,
    /// Whether upstream was seen to give it to this group's account.
    pub(super) linked: bool,
    pub(super) manifest: Option<Leased>,
}

/// A manifest that is to be read: in memory already, or with memory reserved for it where it is large.
#[derive(Default)]
struct ToRead {
    in_memory: Option<Arc<Manifest>>,
    reservation: Option<Reservation>,
}

#[derive(Clone)]
struct ByLength;

/// Only a guess, for a start: what bounds them is their size.
const REMEMBERED_MANIFESTS: usize = 10_000;

impl Shelf {
    /// A shelf of which as much is kept in memory as the options say.
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
            manifests: Cache::with_weighter(REMEMBERED_MANIFESTS, options.memory_bytes, ByLength),
            links: Cache::new(options.known_links),
            tags: Cache::new(options.known_tags),
            forgotten: AtomicU64::new(0),
            removing: RwLock::new(()),
        }
    }

    /// The answer to most requests: everything that it takes is in memory, and fresh.
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
        // Where the group's share is taken, the pull waits for it elsewhere.
        let lease = if request.head { None } else { self.memory.try_lease(request.group, &manifest.bytes).ok()? };
        Some(PulledManifest::new(Leased { manifest, lease }, Source::Hit, checked_at))
    }

    /// This manifest for a client of the group, as soon as the group's share of memory has room for it.
    ///
    /// # Errors
    ///
    /// Fails where that takes too long.
    pub(super) async fn leased(&self, group: GroupId, manifest: Arc<Manifest>) -> Result<Leased, Cause> {
        let lease = self.memory.lease(group, &manifest.bytes).await?;
        Ok(Leased { manifest, lease })
    }

    /// Gives up the large manifests that no client is being sent.
    pub(super) fn give_up_memory(&self) {
        let is_kept = |bytes: &Bytes| bytes.len() <= SMALL_BYTES || self.memory.is_leased(bytes);
        self.manifests.retain(|_, manifest| is_kept(&manifest.bytes));
    }

    /// What the index and the store know; remembered, so that the next asker finds it in memory. An index that cannot be read
    /// knows nothing.
    ///
    /// # Errors
    ///
    /// Fails where there is no memory for a large manifest.
    pub(super) async fn look_up(self: &Arc<Self>, request: &PullManifest) -> Result<Option<Known>, Cause> {
        let group = request.group;
        let (shelf, wanted) = (self.clone(), request.clone());
        let to_read = self.reserve(group, move || shelf.digest_of(&wanted)).await?;
        let (shelf, request) = (self.clone(), request.clone());
        let known = self.blocking(move || shelf.look_up_blocking(&request, to_read)).await.unwrap_or(None);
        let Some(known) = known else { return Ok(None) };
        let manifest = self.with_lease(group, known.manifest).await?;
        Ok(Some(Known { manifest, ..known }))
    }

    /// The manifest with this digest for this group, if it is stored, whoever may have it.
    ///
    /// # Errors
    ///
    /// Fails where there is no memory for a large manifest.
    pub(super) async fn stored(self: &Arc<Self>, group: GroupId, digest: Digest) -> Result<Option<Leased>, Cause> {
        let to_read = self.reserve(group, move || Ok(Some(digest))).await?;
        let shelf = self.clone();
        let manifest = self.blocking(move || shelf.read(&digest, to_read)).await.unwrap_or(None);
        self.with_lease(group, manifest).await
    }

    /// The manifest as it is in memory, or else memory for it, if it is large.
    async fn reserve(
        self: &Arc<Self>,
        group: GroupId,
        find: impl FnOnce() -> Result<Option<Digest>, StoreError> + Send + 'static,
    ) -> Result<ToRead, Cause> {
        let shelf = self.clone();
        let found = self.blocking(move || {
            let Some(digest) = find()? else { return Ok((None, 0)) };
            match shelf.manifests.peek(&digest) {
                Some(manifest) => Ok((Some(manifest), 0)),
                None => Ok((None, shelf.store.length(&digest)?)),
            }
        });
        let (in_memory, length) = found.await.unwrap_or_default();
        Ok(ToRead { in_memory, reservation: self.memory.reserve(group, length).await? })
    }

    /// A manifest that was read, with a lease where it has none yet and is large.
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

    /// Gives the group what upstream gave its account: the manifest, and the names of what the manifest names.
    pub(super) async fn grant(self: &Arc<Self>, request: &PullManifest, fetched: &Fetched) {
        let (shelf, request, fetched) = (self.clone(), request.clone(), fetched.clone());
        drop(self.blocking(move || shelf.grant_blocking(&request, &fetched)).await);
    }

    /// As [`Self::grant`], for a stored manifest that upstream has told of.
    pub(super) async fn grant_stored(self: &Arc<Self>, request: &PullManifest, manifest: &Arc<Manifest>) {
        let (shelf, request, manifest) = (self.clone(), request.clone(), manifest.clone());
        let granted = self.blocking(move || {
            let named = Arc::new(named(&manifest));
            shelf.grant_blocking(&request, &Fetched { manifest, named, stored: true, _lease: None })
        });
        drop(granted.await);
    }

    /// Notes that upstream told the group's account of a digest, which is not stored. Many clients go on to ask by digest, and
    /// their next pull by tag must find what they got. A name alone opens nothing: no bytes came with it.
    pub(super) async fn told(self: &Arc<Self>, request: &PullManifest, digest: Digest, size: u64) {
        let (shelf, request) = (self.clone(), request.clone());
        let noted = self.blocking(move || {
            let named = Link { size: Some(size), proven: false };
            shelf.index.add_links(request.group, &request.origin, &[(digest, named)])?;
            shelf.set_tag(&request, digest)
        });
        drop(noted.await);
    }

    /// Forgets a tag that upstream no longer has.
    pub(super) async fn drop_tag(self: &Arc<Self>, request: &PullManifest) {
        let Reference::Tag(tag) = request.reference.clone() else { return };
        let (shelf, origin) = (self.clone(), request.origin.clone());
        let dropped = self.blocking(move || {
            let dropped = shelf.index.drop_tag(&origin, &tag);
            shelf.tags.remove(&TagOf(&origin, &tag));
            dropped
        });
        drop(dropped.await);
    }

    /// Notes that upstream refuses the tag's repository now.
    pub(super) async fn deny_tag(self: &Arc<Self>, request: &PullManifest) {
        let Reference::Tag(tag) = request.reference.clone() else { return };
        let (shelf, origin) = (self.clone(), request.origin.clone());
        let denied = self.blocking(move || {
            let denied = shelf.index.deny_tag(&origin, &tag);
            shelf.tags.remove(&TagOf(&origin, &tag));
            denied
        });
        drop(denied.await);
    }

    /// Forgets what is remembered of a group, whose links were taken away in the index.
    pub(super) fn forget_group(&self, group: GroupId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.links.retain(|key, ()| !key.is_of(group));
        self.tags.clear();
    }

    /// Removes a manifest that no group has. Blocks.
    pub(super) fn remove_unlinked(&self, digest: &Digest) -> Result<(), StoreError> {
        let _nobody_gets_it = self.removing.write().unwrap_or_else(PoisonError::into_inner);
        if self.index.is_linked(digest)? {
            return Ok(());
        }
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.manifests.remove(digest);
        self.store.remove(digest)
    }

    /// Runs this where it may block. What fails is logged.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Cause> {
        match spawn_blocking(work).await {
            Ok(Err(StoreError::Full)) => {
                self.unstored.report(Unstored::NoRoom, None);
                Err(Cause::Store)
            }
            Ok(done) => Ok(done?),
            Err(panic) => Err(StoreError::Io(panic.to_string()).into()),
        }
    }

    fn grant_blocking(&self, request: &PullManifest, fetched: &Fetched) -> Result<(), StoreError> {
        let Fetched { manifest, named, stored, _lease: _ } = fetched;
        let _nothing_is_removed = self.removing.read().unwrap_or_else(PoisonError::into_inner);
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

    /// Whether upstream gave it to this group's account. Where another group with the same account saw the tag move, a group that
    /// had pulled that tag moves along: it would have been told the same.
    fn is_linked(
        &self,
        request: &PullManifest,
        digest: Digest,
        entry: Option<TagEntry>,
        manifest: Option<&Arc<Manifest>>,
    ) -> Result<bool, StoreError> {
        if self.index.link(request.group, &request.origin, &digest)?.is_some_and(|link| link.proven) {
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
            // It is the group's, whether or not that can be noted.
            Err(StoreError::Full) => self.unstored.report(Unstored::NoRoom, Some(&request.origin)),
            noted => noted?,
        }
        Ok(true)
    }

    /// A manifest from memory or the disk. Its bytes hold the memory that was reserved for them, and it is leased with
    /// the share.
    fn read(&self, digest: &Digest, to_read: ToRead) -> Result<Option<Leased>, StoreError> {
        let ToRead { in_memory, reservation } = to_read;
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

    /// Adds links of the group, the proven one of `digest` among them, and remembers that one.
    fn link(&self, request: &PullManifest, digest: Digest, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        self.index.add_links(request.group, &request.origin, links)?;
        if self.is_current(forgotten) {
            self.links.insert(LinkKey::of(request, digest), ());
        }
        Ok(())
    }

    /// Notes what the tag stands for now, where a tag was asked for.
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

    /// Whether nothing was taken away since, so that what was read may be remembered.
    fn is_current(&self, forgotten: u64) -> bool {
        forgotten == self.forgotten.load(Ordering::SeqCst)
    }
}

impl Weighter<Digest, Arc<Manifest>> for ByLength {
    fn weight(&self, _: &Digest, manifest: &Arc<Manifest>) -> u64 {
        manifest.bytes.len() as u64 + 256
    }
}

/// Whether what upstream said of a tag is still believed.
pub(super) fn is_fresh(entry: &TagEntry, freshness: Duration) -> bool {
    let age = Duration::try_from(Timestamp::now().duration_since(entry.checked_at));
    !entry.denied && age.is_ok_and(|age| age < freshness)
}
