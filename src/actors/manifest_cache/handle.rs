//! Pulls of manifests: from memory or the store if the group has a granted link and the tag is fresh, otherwise
//! through upstream. A hit sends no message and makes no upstream request. Upstream requests are coalesced and
//! bounded by the [`ManifestCache`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::time::timeout;

use super::cache::CachedManifests;
use super::coordinator::ManifestCache;
use super::keys::TagKey;
use super::pull::Pull;
use super::request::{ForgetRecent, ForgetUpstreams, PullManifest};
use super::response::PulledManifest;
use super::revalidations::{Revalidation, Revalidations};
use super::{CacheTimes, CurrentTimes, ManifestCacheOptions};
use crate::actors::admission::SharedLimit;
use crate::actors::cache_limits::CacheLimits;
use crate::actors::cache_status::CacheStatus;
use crate::actors::evictor::Evictor;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::pull_failure::{Cause, PullFailure, image_name};
use crate::actors::shared_manifests::SharedManifests;
use crate::actors::unstored_reports::{Kind, UnstoredReports};
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::domain::repository::UpstreamName;
use crate::store::content::ContentStore;

/// Handle that pulls manifests. Cheap to clone.
#[derive(Clone)]
pub struct ManifestCacheHandle(Arc<Inner>);

struct Inner {
    actor: Addr<ManifestCache>,
    cache: Arc<CachedManifests>,
    waiters: SharedLimit,
    times: CurrentTimes,
    revalidations: Revalidations,
}

/// The outcome of a pull, and the number of upstream requests that it caused.
#[derive(Debug)]
pub struct Pulled {
    /// The manifest, or the reason why the pull failed.
    pub outcome: Result<PulledManifest, PullFailure>,
    /// Number of upstream requests that this pull caused. Coalesced requests of other pulls are not counted.
    pub upstream_calls: u32,
    /// True if nothing had to be looked up in the store.
    pub from_memory: bool,
}

impl ManifestCacheHandle {
    /// Starts the actor on this arbiter. `shared` has the requests that replicas share; `None`: there are no others.
    pub fn start(
        (options, limits): (ManifestCacheOptions, CacheLimits),
        (upstream, shared): (UpstreamHandle, Option<SharedManifests>),
        (store, evictor): (ContentStore, Evictor),
        memory: MemoryBudget,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let unstored = Arc::new(UnstoredReports::new(Kind::Manifests, store.free_space().clone()));
        let cache = Arc::new(CachedManifests::new(
            (store.clone(), upstream.clone()),
            memory.clone(),
            unstored.clone(),
            evictor.clone(),
            (&options, limits),
        ));
        let relieved = Arc::downgrade(&cache);
        memory.relieve_with(move || {
            if let Some(cache) = relieved.upgrade() {
                cache.give_up_memory();
            }
        });
        let times = CurrentTimes::new(ArcSwap::from_pointee(options.times));
        let of_actor = times.clone();
        let (all, each) = (limits.max_waiters.get(), limits.max_waiters_per_group.get());
        let waiters = SharedLimit::new("manifest_waiters", all, each);
        let actor = ManifestCache::start_in_arbiter(arbiter, move |_| {
            ManifestCache::new(&options, of_actor, (upstream, shared), store, memory, unstored, evictor)
        });
        Self(Arc::new(Inner { actor, cache, waiters, times, revalidations: Revalidations::default() }))
    }

    /// Pulls the manifest that this reference stands for, if the group may have it.
    pub async fn pull(&self, request: PullManifest) -> Pulled {
        let calls = AtomicU32::new(0);
        let remembered = self.0.cache.remembered(&request);
        let from_memory = remembered.is_some();
        let pulled = match remembered {
            Some(pulled) => Ok(pulled),
            None => timeout(deadlines::RESPONSE, self.0.pull(&request, &calls)).await.unwrap_or(Err(Cause::TimedOut)),
        };
        if let Ok(PulledManifest { source: CacheStatus::Revalidating, .. }) = &pulled {
            self.revalidate(&request);
        }
        let outcome = pulled.map_err(|cause| {
            let image = image_name(&request.origin, &request.reference.to_string());
            PullFailure { origin: request.origin, image, cause, is_list: false }
        });
        Pulled { outcome, upstream_calls: calls.load(Ordering::Relaxed), from_memory }
    }

    /// Starts to revalidate a tag in the background, unless that is being done already.
    fn revalidate(&self, request: &PullManifest) {
        let Reference::Tag(tag) = &request.reference else { return };
        let Some(permission) = self.0.revalidations.begin(TagKey::of(request, tag), Instant::now()) else { return };
        let request = PullManifest { freshness: request.freshness.without_stale(), head: true, ..request.clone() };
        let inner = Arc::clone(&self.0);
        actix_rt::spawn(async move { inner.revalidate(&request, permission).await });
    }

    /// Sets the times for later pulls, and forgets the failures and negative entries of these upstreams.
    pub fn change(&self, times: CacheTimes, upstreams: Vec<UpstreamName>) {
        self.0.times.store(Arc::new(times));
        self.0.actor.do_send(ForgetUpstreams(upstreams));
    }

    /// Returns the reason why a tag was served stale since upstream last confirmed it; `None` if it was not.
    pub fn stale_because(&self, origin: &Origin, tag: &Tag) -> Option<String> {
        let cause = self.0.cache.stale_because(origin, tag)?;
        let failure = PullFailure {
            origin: origin.clone(),
            image: image_name(origin, tag.as_str()),
            cause: (*cause).clone(),
            is_list: false,
        };
        Some(failure.reason())
    }

    /// Returns the tags that were served stale since upstream last confirmed them.
    pub fn stale_tags(&self) -> Vec<(Origin, Tag)> {
        self.0.cache.stale_tags()
    }

    /// Drops a group's links from memory, after they were removed from the store.
    pub fn forget_group(&self, group: GroupId) {
        self.0.cache.forget_group(group);
        self.0.actor.do_send(ForgetRecent);
    }

    /// Drops a tag from memory, after the store got another entry of it.
    pub fn forget_tag(&self, origin: &Origin, tag: &Tag) {
        self.0.cache.forget_tag(origin, tag);
        self.0.actor.do_send(ForgetRecent);
    }

    /// Drops manifests from memory, after they were removed from the store.
    pub fn forget_manifests(&self, digests: &[Digest]) {
        self.0.cache.forget_manifests(digests);
    }
}

impl Inner {
    /// Revalidates a tag, and fetches its manifest if it has moved. A failure is remembered with the tag.
    async fn revalidate(&self, request: &PullManifest, permission: Revalidation) {
        let pulled = timeout(deadlines::RESPONSE, self.pull(request, &AtomicU32::new(0))).await;
        if pulled.is_ok_and(|pulled| pulled.is_ok_and(|pulled| pulled.stale_because.is_none())) {
            permission.succeeded();
        }
    }

    /// Pulls a manifest that is not served from memory.
    async fn pull(&self, request: &PullManifest, calls: &AtomicU32) -> Result<PulledManifest, Cause> {
        let _permit = self.waiters.try_acquire(request.group).ok_or(Cause::Busy)?;
        let pull = Pull {
            cache: &self.cache,
            actor: &self.actor,
            request,
            times: **self.times.load(),
            upstream_calls: calls,
            requested_at: Instant::now(),
        };
        pull.run().await
    }
}
