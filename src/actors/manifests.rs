//! How a manifest is pulled: from memory or the store where the group may have it and it is fresh, else as upstream says.
//! A hit sends no message and asks nobody. What needs upstream is joined and bounded by the [`ManifestCache`].

mod keys;
mod names;
mod pull;
mod pulled;
mod shelf;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::time::{sleep, timeout};

pub use self::pulled::{CACHE_WORDS, Leased, PullManifest, PulledManifest, Source};

use self::pull::Pull;
use self::shelf::Shelf;
use super::failure::{Cause, PullFailure, image_name};
use super::manifest_cache::{
    CacheTimes, CurrentTimes, ForgetAnswers, ForgetUpstreams, ManifestCache, ManifestCacheOptions,
};
use super::memory_budget::MemoryBudget;
use super::places::Places;
use super::unstored::{Kind, UnstoredReports};
use super::upstream_fetcher::Upstream;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::repository::UpstreamName;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::manifests::ManifestStore;
use crate::telemetry::CountersBy;

/// What the rest of the service holds: pulls manifests.
#[derive(Clone)]
pub struct Manifests(Arc<Inner>);

struct Inner {
    actor: Addr<ManifestCache>,
    shelf: Arc<Shelf>,
    waiters: Places,
    times: CurrentTimes,
}

/// The outcome of a pull, and what it took.
#[derive(Debug)]
pub struct Pulled {
    /// The manifest, or why it cannot be had.
    pub outcome: Result<PulledManifest, PullFailure>,
    /// How often upstream was asked for it; what others had asked already is not counted.
    pub upstream_calls: u32,
}

static PULLS: LazyLock<CountersBy> = LazyLock::new(|| {
    CountersBy::new(&CACHE_WORDS, |word| metrics::counter!("dependency_proxy_manifest_pulls_total", "cache" => word))
});

/// Clients give up where no answer begins within 30 seconds.
const PATIENCE: Duration = Duration::from_secs(24);

/// For how long a pull is held back in the hope that upstream's limit passes.
const HOLD: Duration = Duration::from_secs(18);

/// The first pause where upstream does not say how long to wait.
const PAUSE: Duration = Duration::from_secs(2);

impl Manifests {
    /// Starts the actor on this arbiter.
    pub fn start(
        options: ManifestCacheOptions,
        upstream: Upstream,
        index: Arc<Index>,
        store: Arc<ManifestStore>,
        memory: MemoryBudget,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let unstored = Arc::new(UnstoredReports::new(Kind::Manifests, store.room().clone()));
        let shelf = Arc::new(Shelf::new(index, store.clone(), memory.clone(), unstored.clone(), &options));
        let relieved = Arc::downgrade(&shelf);
        memory.relieve_with(move || {
            if let Some(shelf) = relieved.upgrade() {
                shelf.give_up_memory();
            }
        });
        let times = CurrentTimes::new(ArcSwap::from_pointee(options.times));
        let of_actor = times.clone();
        let waiters = Places::new("manifest_waiters", options.max_waiters);
        let actor = ManifestCache::start_in_arbiter(arbiter, move |_| {
            ManifestCache::new(&options, of_actor, upstream, store, memory, unstored)
        });
        Self(Arc::new(Inner { actor, shelf, waiters, times }))
    }

    /// The manifest that this reference stands for, if the group may have it.
    pub async fn pull(&self, request: PullManifest) -> Pulled {
        let calls = AtomicU32::new(0);
        let pulled = match self.0.shelf.remembered(&request) {
            Some(pulled) => Ok(pulled),
            None => timeout(PATIENCE, self.0.pull(&request, &calls)).await.unwrap_or(Err(Cause::TimedOut)),
        };
        let word = pulled.as_ref().map_or("failed", |pulled| pulled.source.word());
        PULLS.count(word);
        let outcome = pulled.map_err(|cause| {
            let image = image_name(&request.origin, &request.reference.to_string());
            PullFailure { origin: request.origin, image, cause }
        });
        Pulled { outcome, upstream_calls: calls.load(Ordering::Relaxed) }
    }

    /// Has these times hold from now on, and forgets what was learnt of these upstreams.
    pub fn change(&self, times: CacheTimes, upstreams: Vec<UpstreamName>) {
        self.0.times.store(Arc::new(times));
        self.0.actor.do_send(ForgetUpstreams(upstreams));
    }

    /// Forgets what is remembered of a group, whose links were taken away in the index.
    pub fn forget_group(&self, group: GroupId) {
        self.0.shelf.forget_group(group);
        self.0.actor.do_send(ForgetAnswers);
    }

    /// Removes a manifest that no group has any more. Blocks.
    pub fn remove_unlinked(&self, digest: &Digest) -> Result<(), StoreError> {
        self.0.shelf.remove_unlinked(digest)
    }
}

impl Inner {
    /// Pulls; where upstream's limit is reached and nothing is stored, waits a bounded time for it to pass.
    async fn pull(&self, request: &PullManifest, calls: &AtomicU32) -> Result<PulledManifest, Cause> {
        let _place = self.waiters.take().ok_or(Cause::Busy)?;
        let (start, mut pause) = (Instant::now(), PAUSE);
        loop {
            let pull = Pull {
                shelf: &self.shelf,
                actor: &self.actor,
                request,
                times: **self.times.load(),
                upstream_calls: calls,
                asked_at: Instant::now(),
            };
            let outcome = pull.run().await;
            let Err(Cause::RateLimited { retry_after, .. }) = outcome else { return outcome };
            let wait = retry_after.unwrap_or(pause).max(Duration::from_millis(100));
            if start.elapsed() + wait > HOLD {
                return outcome;
            }
            sleep(wait).await;
            pause *= 2;
        }
    }
}
