//! How a manifest is pulled: from memory or the store where the group may have it and it is fresh, else as upstream says.
//! A hit sends no message and asks nobody. What needs upstream is joined and bounded by the [`ManifestCache`].

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::failure::{Cause, PullFailure, image_name};
use super::manifest_cache::{AskHead, FetchManifest, Fetched, ManifestCache, ManifestCacheOptions, Question, Shared};
use super::upstream_fetcher::Upstream;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::manifest::{self, Named};
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::error::StoreError;
use crate::store::index::{Index, Link, TagEntry};
use crate::store::manifests::{Manifest, ManifestStore};
use crate::upstream::ContentHead;

/// What the rest of the service holds: pulls manifests.
#[derive(Clone)]
pub struct Manifests(Arc<Inner>);

struct Inner {
    actor: Addr<ManifestCache>,
    index: Arc<Index>,
    store: Arc<ManifestStore>,
    manifests: Cache<Digest, Arc<Manifest>, ByLength>,
    links: Cache<LinkKey, ()>,
    tags: Cache<(Origin, Tag), TagEntry>,
}

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
    pub manifest: Option<Arc<Manifest>>,
    /// Where it came from.
    pub source: Source,
    /// How long ago upstream last said what the tag stands for.
    pub age: Option<Duration>,
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

#[derive(Clone, PartialEq, Eq, Hash)]
struct LinkKey {
    group: GroupId,
    origin: Origin,
    digest: Digest,
}

/// What is known here about a tag or a digest.
struct Known {
    digest: Digest,
    checked_at: Option<Timestamp>,
    /// Whether upstream was seen to give it to this group's account.
    linked: bool,
    manifest: Option<Arc<Manifest>>,
}

#[derive(Clone)]
struct ByLength;

/// Clients give up where no answer begins within 30 seconds.
const PATIENCE: Duration = Duration::from_secs(24);
const REMEMBERED_LINKS: usize = 100_000;
const REMEMBERED_TAGS: usize = 20_000;

impl Manifests {
    /// Starts the actor on this arbiter.
    pub fn start(
        options: ManifestCacheOptions,
        upstream: Upstream,
        index: Arc<Index>,
        store: Arc<ManifestStore>,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let manifests = Cache::with_weighter(10_000, options.memory_bytes, ByLength);
        let for_actor = store.clone();
        let actor = ManifestCache::start_in_arbiter(arbiter, move |_| ManifestCache::new(options, upstream, for_actor));
        let (links, tags) = (Cache::new(REMEMBERED_LINKS), Cache::new(REMEMBERED_TAGS));
        Self(Arc::new(Inner { actor, index, store, manifests, links, tags }))
    }

    /// The manifest that this reference stands for, if the group may have it.
    pub async fn pull(&self, request: PullManifest) -> Result<PulledManifest, PullFailure> {
        let pulled = match self.0.remembered(&request) {
            Some(pulled) => Ok(pulled),
            None => timeout(PATIENCE, self.0.pull(&request)).await.unwrap_or(Err(Cause::Unreachable)),
        };
        let word = pulled.as_ref().map_or("failed", |pulled| pulled.source.word());
        metrics::counter!("dependency_proxy_manifest_pulls_total", "cache" => word).increment(1);
        pulled.map_err(|cause| {
            let image = image_name(&request.origin, &request.reference.to_string());
            PullFailure { origin: request.origin, image, cause }
        })
    }

    /// Forgets what is remembered of a group, whose links were taken away in the index.
    pub fn forget_group(&self, group: GroupId) {
        self.0.links.retain(|key, ()| key.group != group);
        self.0.tags.clear();
    }

    /// Forgets a manifest that was removed from the store.
    pub fn forget(&self, digest: &Digest) {
        self.0.manifests.remove(digest);
    }
}

impl Inner {
    /// The answer to most requests: everything that it takes is in memory, and fresh.
    fn remembered(&self, request: &PullManifest) -> Option<PulledManifest> {
        let (digest, checked_at) = match &request.reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => {
                let entry = self.tags.get(&(request.origin.clone(), tag.clone()))?;
                is_fresh(entry.checked_at, request.tag_freshness).then_some((entry.digest, Some(entry.checked_at)))?
            }
        };
        self.links.get(&link_key(request, digest))?;
        let manifest = self.manifests.get(&digest)?;
        Some(answer(&manifest, Source::Hit, checked_at))
    }

    async fn pull(self: &Arc<Self>, request: &PullManifest) -> Result<PulledManifest, Cause> {
        match self.known(request).await? {
            Some(known @ Known { linked: true, manifest: Some(_), .. }) => self.serve(request, known).await,
            Some(known @ Known { manifest: Some(_), .. }) => self.confirm(request, known).await,
            _ if request.head => self.head(request).await,
            _ => self.fetch(request, &request.reference).await,
        }
    }

    /// A stored manifest that the group has: as it is by digest and while the tag is fresh, else as upstream says.
    async fn serve(self: &Arc<Self>, request: &PullManifest, known: Known) -> Result<PulledManifest, Cause> {
        let Some(checked_at) = known.checked_at else { return known.answer(Source::Hit) };
        if is_fresh(checked_at, request.tag_freshness) {
            return known.answer(Source::Hit);
        }
        match self.ask_head(request, true).await {
            Ok(head) if head.answer.digest == Some(known.digest) => {
                let now = self.set_tag(request, known.digest).await?;
                Known { checked_at: now, ..known }.answer(Source::Revalidated)
            }
            Ok(_) => match self.fetch(request, &request.reference).await {
                Err(cause) if !is_final(&cause) => self.stale(request, known, &cause),
                fetched => fetched,
            },
            Err(Cause::NotFound) => {
                self.drop_tag(request).await?;
                Err(Cause::NotFound)
            }
            Err(Cause::Denied) => Err(Cause::Denied),
            Err(cause) => self.stale(request, known, &cause),
        }
    }

    fn stale(&self, request: &PullManifest, known: Known, cause: &Cause) -> Result<PulledManifest, Cause> {
        tracing::warn!(origin = %request.origin, reference = %request.reference, ?cause, "a tag is served stale");
        known.answer(Source::Stale)
    }

    /// A stored manifest that the group does not have yet: upstream decides.
    async fn confirm(self: &Arc<Self>, request: &PullManifest, known: Known) -> Result<PulledManifest, Cause> {
        let head = self.ask_head(request, false).await?;
        let manifest = known.manifest.as_ref().filter(|_| head.answer.digest == Some(known.digest));
        let Some(manifest) = manifest.cloned() else { return self.fetch(request, &request.reference).await };
        self.grant(request, manifest.clone(), true).await?;
        let source = if head.joined { Source::Joined } else { Source::Revalidated };
        Ok(answer(&manifest, source, known.checked_at.map(|_| Timestamp::now())))
    }

    /// The headers of what is not stored. A tag and its digest are remembered: many clients go on to ask by digest, and their
    /// next pull by tag must find what they got.
    async fn head(self: &Arc<Self>, request: &PullManifest) -> Result<PulledManifest, Cause> {
        let Shared { answer: head, joined } = self.ask_head(request, false).await?;
        let ContentHead { media_type: Some(media_type), length: Some(size), digest } = head else {
            return self.fetch(request, &request.reference).await;
        };
        let digest = match (&request.reference, digest) {
            (Reference::Digest(asked), Some(told)) if *asked != told => return Err(Cause::Nonsense),
            (Reference::Digest(asked), _) => *asked,
            (Reference::Tag(_), Some(told)) => told,
            (Reference::Tag(_), None) => return self.fetch(request, &request.reference).await,
        };
        self.link(request, digest, vec![(digest, Link { size: Some(size), proven: true })]).await?;
        self.set_tag(request, digest).await?;
        let source = if joined { Source::Joined } else { Source::Miss };
        Ok(PulledManifest { digest, media_type, size, manifest: None, source, age: None })
    }

    async fn fetch(self: &Arc<Self>, request: &PullManifest, reference: &Reference) -> Result<PulledManifest, Cause> {
        let question = Question { origin: request.origin.clone(), reference: reference.clone() };
        let Shared { answer: fetched, joined } = self.send(FetchManifest(question)).await?;
        let Fetched { manifest, stored } = fetched;
        self.grant(request, manifest.clone(), stored).await?;
        let source = if joined { Source::Joined } else { Source::Miss };
        let by_tag = matches!(request.reference, Reference::Tag(_));
        Ok(answer(&manifest, source, by_tag.then(Timestamp::now)))
    }

    /// Gives the group what upstream gave its account: the manifest, and the names of what the manifest names.
    async fn grant(
        self: &Arc<Self>,
        request: &PullManifest,
        manifest: Arc<Manifest>,
        stored: bool,
    ) -> Result<(), Cause> {
        if stored {
            self.manifests.insert(manifest.digest, manifest.clone());
        }
        let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
        self.link(request, manifest.digest, links(&manifest, &named)).await?;
        self.set_tag(request, manifest.digest).await?;
        Ok(())
    }

    /// Adds links of the group, the proven one of `digest` among them, and remembers that one.
    async fn link(
        self: &Arc<Self>,
        request: &PullManifest,
        digest: Digest,
        links: Vec<(Digest, Link)>,
    ) -> Result<(), Cause> {
        let (key, inner) = (link_key(request, digest), self.clone());
        let LinkKey { group, origin, .. } = key.clone();
        blocking(move || inner.index.add_links(group, &origin, &links)).await?;
        self.links.insert(key, ());
        Ok(())
    }

    /// Notes what the tag stands for now, where a tag was asked for. Returns the time.
    async fn set_tag(self: &Arc<Self>, request: &PullManifest, digest: Digest) -> Result<Option<Timestamp>, Cause> {
        let Reference::Tag(tag) = request.reference.clone() else { return Ok(None) };
        let entry = TagEntry { digest, checked_at: Timestamp::now() };
        let (inner, group, origin) = (self.clone(), request.group, request.origin.clone());
        self.tags.insert((origin.clone(), tag.clone()), entry);
        blocking(move || inner.index.set_tag(group, &origin, &tag, entry)).await?;
        Ok(Some(entry.checked_at))
    }

    async fn drop_tag(self: &Arc<Self>, request: &PullManifest) -> Result<(), Cause> {
        let Reference::Tag(tag) = request.reference.clone() else { return Ok(()) };
        let (inner, origin) = (self.clone(), request.origin.clone());
        self.tags.remove(&(origin.clone(), tag.clone()));
        blocking(move || inner.index.drop_tag(&origin, &tag)).await
    }

    /// What the index and the store know; remembered, so that the next asker finds it in memory.
    async fn known(self: &Arc<Self>, request: &PullManifest) -> Result<Option<Known>, Cause> {
        let (inner, request) = (self.clone(), request.clone());
        blocking(move || inner.look_up(&request)).await
    }

    fn look_up(&self, request: &PullManifest) -> Result<Option<Known>, StoreError> {
        let (digest, checked_at) = match &request.reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => {
                let Some(entry) = self.index.tag(&request.origin, tag)? else { return Ok(None) };
                self.tags.insert((request.origin.clone(), tag.clone()), entry);
                (entry.digest, Some(entry.checked_at))
            }
        };
        let link = self.index.link(request.group, &request.origin, &digest)?;
        let linked = link.is_some_and(|link| link.proven);
        if linked {
            self.links.insert(link_key(request, digest), ());
        }
        let manifest = match self.manifests.get(&digest) {
            Some(manifest) => Some(manifest),
            None => self.store.read(&digest)?.map(Arc::new),
        };
        if let Some(manifest) = &manifest {
            self.manifests.insert(digest, manifest.clone());
        }
        Ok(Some(Known { digest, checked_at, linked, manifest }))
    }

    async fn ask_head(&self, request: &PullManifest, revalidation: bool) -> Result<Shared<ContentHead>, Cause> {
        let question = Question { origin: request.origin.clone(), reference: request.reference.clone() };
        self.send(AskHead { question, revalidation }).await
    }

    async fn send<M, T>(&self, message: M) -> Result<T, Cause>
    where
        M: Message<Result = Result<T, Cause>> + Send + 'static,
        T: Send + 'static,
        ManifestCache: Handler<M>,
    {
        self.actor.send(message).await.unwrap_or(Err(Cause::Busy))
    }
}

impl Known {
    fn answer(&self, source: Source) -> Result<PulledManifest, Cause> {
        let manifest = self.manifest.as_ref().ok_or(Cause::Store)?;
        Ok(answer(manifest, source, self.checked_at))
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

impl Weighter<Digest, Arc<Manifest>> for ByLength {
    fn weight(&self, _: &Digest, manifest: &Arc<Manifest>) -> u64 {
        manifest.bytes.len() as u64 + 256
    }
}

fn answer(manifest: &Arc<Manifest>, source: Source, checked_at: Option<Timestamp>) -> PulledManifest {
    let age = checked_at.map(|at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default());
    PulledManifest {
        digest: manifest.digest,
        media_type: manifest.media_type.clone(),
        size: manifest.bytes.len() as u64,
        manifest: Some(manifest.clone()),
        source,
        age,
    }
}

fn links(manifest: &Manifest, named: &Named) -> Vec<(Digest, Link)> {
    let itself = (manifest.digest, Link { size: Some(manifest.bytes.len() as u64), proven: true });
    let names = named.blobs.iter().chain(&named.manifests);
    let names = names.map(|named| (named.digest, Link { size: Some(named.size), proven: false }));
    std::iter::once(itself).chain(names).collect()
}

/// Whether upstream's answer settles the matter, so that serving something older would be wrong.
fn is_final(cause: &Cause) -> bool {
    matches!(cause, Cause::NotFound | Cause::Denied)
}

fn is_fresh(checked_at: Timestamp, freshness: Duration) -> bool {
    Duration::try_from(Timestamp::now().duration_since(checked_at)).is_ok_and(|age| age < freshness)
}

fn link_key(request: &PullManifest, digest: Digest) -> LinkKey {
    LinkKey { group: request.group, origin: request.origin.clone(), digest }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Cause> {
    match spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panic) => Err(StoreError::Io(panic.to_string()).into()),
    }
}
