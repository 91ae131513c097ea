//! The ManifestCache coalesces upstream requests for manifests, and remembers manifests that do not exist there
//! (negative entries). It fetches, verifies and stores manifests; access is decided in [`super::handle`], where the
//! cached manifests are read, too.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use quick_cache::unsync::Cache;
use tokio::sync::oneshot;

use super::fetch::Fetcher;
use super::request::{
    ConfirmManifest, FetchManifest, ForgetRecent, ForgetUpstreams, ManifestKey, RevalidationTimedOut,
};
use super::response::{Fetched, SharedOutcome};
use super::{CurrentTimes, ManifestCacheOptions};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::actors::admission::{Share, Shares, refused};
use crate::actors::evictor::Evictor;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::pull_failure::Cause;
use crate::actors::shared_manifests::SharedManifests;
use crate::actors::single_flight::{Join, SingleFlight};
use crate::actors::unstored_reports::UnstoredReports;
use crate::actors::upstream_fetcher::{UpstreamHandle, Verdict};
use crate::store::content::ContentStore;
use crate::telemetry::TraceParent;
use crate::upstream::{ManifestHead, UpstreamError};

/// Coordinates upstream requests for manifests; see the module.
pub(super) struct ManifestCache {
    fetcher: Fetcher,
    times: CurrentTimes,
    /// `HEAD` requests under way. The flag is true for revalidations, which have a shorter timeout.
    heads: SingleFlight<(ManifestKey, bool), SharedOutcome<ManifestHead>>,
    fetches: SingleFlight<ManifestKey, SharedOutcome<Fetched>>,
    head_shares: Shares,
    fetch_shares: Shares,
    /// Negative entries, with the time until which each is valid.
    absent: Cache<ManifestKey, Instant>,
}

/// Reports the outcome of a `HEAD`.
#[derive(Message)]
#[rtype(result = "()")]
struct HeadCompleted((ManifestKey, bool), SharedOutcome<ManifestHead>);

/// Reports the outcome of a fetch.
#[derive(Message)]
#[rtype(result = "()")]
struct ManifestFetched(ManifestKey, SharedOutcome<Fetched>);

/// Maximum number of negative entries. Without it, a client that requests random names would fill the memory.
const MAX_ABSENT: usize = 10_000;

impl ManifestCache {
    pub(super) fn new(
        options: &ManifestCacheOptions,
        times: CurrentTimes,
        (upstream, shared): (UpstreamHandle, Option<SharedManifests>),
        store: ContentStore,
        memory: MemoryBudget,
        unstored: Arc<UnstoredReports>,
        evictor: Evictor,
    ) -> Self {
        let max_stored_bytes = options.max_manifest_bytes;
        Self {
            heads: SingleFlight::new(options.max_fetches.get()),
            fetches: SingleFlight::new(options.max_fetches.get()),
            head_shares: Shares::of("manifests", options.max_fetches.get()),
            fetch_shares: Shares::of("manifests", options.max_fetches.get()),
            fetcher: Fetcher { upstream, shared, store, memory, unstored, evictor, max_stored_bytes },
            times,
            absent: Cache::new(MAX_ABSENT),
        }
    }

    fn is_absent(&self, key: &ManifestKey, now: Instant) -> bool {
        self.absent.get(key).is_some_and(|until| now < *until)
    }

    fn start_head(
        &self,
        (key, revalidation): (ManifestKey, bool),
        share: Share,
        trace: Option<TraceParent>,
        me: Addr<Self>,
    ) {
        let (fetcher, times) = (self.fetcher.clone(), self.times.load());
        let time = revalidation.then_some(times.revalidate_timeout);
        actix_rt::spawn(async move {
            let requested = key.clone();
            let work = async move {
                // Held by the task as a whole, until the request has ended.
                let Share { holder: group, .. } = &share;
                fetcher.head(&requested, *group, time).await
            };
            let work = actix_rt::spawn(TraceParent::during(trace, work));
            let outcome = work.await.unwrap_or(SharedOutcome::of(Err(Cause::Internal)));
            me.do_send(HeadCompleted((key, revalidation), outcome));
        });
    }

    fn start_fetch(
        &self,
        key: ManifestKey,
        share: Share,
        (has_stale, trace): (bool, Option<TraceParent>),
        me: Addr<Self>,
    ) {
        let fetcher = self.fetcher.clone();
        actix_rt::spawn(async move {
            let requested = key.clone();
            let work = async move {
                // Held by the task as a whole, until the request has ended.
                let Share { holder: group, .. } = &share;
                fetcher.fetch(&requested, *group, has_stale).await
            };
            let work = actix_rt::spawn(TraceParent::during(trace, work));
            let outcome = work.await.unwrap_or(SharedOutcome::of(Err(Cause::Internal)));
            me.do_send(ManifestFetched(key, outcome));
        });
    }

    /// Adds a negative entry if upstream does not have the manifest.
    fn learn<T>(&mut self, key: &ManifestKey, shared: &SharedOutcome<T>) {
        if matches!(shared.outcome, Err(Cause::NotFound)) {
            self.absent.insert(key.clone(), Instant::now() + self.times.load().negative_ttl);
        }
    }

    fn gauge(&self) {
        metrics::gauge!("dependency_proxy_manifest_requests_in_flight")
            .set((self.heads.len() + self.fetches.len()) as f64);
    }
}

/// Waits for a shared outcome. A sender that is dropped without an outcome is a fault of this service.
async fn outcome_of<T>(receiver: oneshot::Receiver<SharedOutcome<T>>, coalesced: bool) -> SharedOutcome<T> {
    let shared = receiver.await.unwrap_or_else(|_| SharedOutcome::of(Err(Cause::Internal)));
    if coalesced { shared.coalesced() } else { shared }
}

impl Actor for ManifestCache {
    type Context = Context<Self>;
}

impl Handler<ConfirmManifest> for ManifestCache {
    type Result = Response<SharedOutcome<ManifestHead>>;

    fn handle(&mut self, message: ConfirmManifest, ctx: &mut Self::Context) -> Self::Result {
        if self.is_absent(&message.key, Instant::now()) {
            return Response::reply(SharedOutcome::at_once(Err(Cause::NotFound)));
        }
        let ConfirmManifest { key, group, revalidation, since, trace } = message;
        let key = (key, revalidation);
        let (receiver, coalesced) = match self.heads.join_or_reuse(&key, |at, outcome| since.covers(at, outcome)) {
            Join::Full => {
                refused("manifests");
                return Response::reply(SharedOutcome::at_once(Err(Cause::Busy)));
            }
            Join::Coalesced(receiver) => (receiver, true),
            Join::First(receiver) => {
                let Some(share) = self.head_shares.try_acquire(group) else {
                    self.heads.abandon(&key);
                    return Response::reply(SharedOutcome::at_once(Err(Cause::Busy)));
                };
                self.start_head(key, share, trace, ctx.address());
                (receiver, false)
            }
        };
        self.gauge();
        Response::fut(outcome_of(receiver, coalesced))
    }
}

impl Handler<FetchManifest> for ManifestCache {
    type Result = Response<SharedOutcome<Fetched>>;

    fn handle(&mut self, fetch: FetchManifest, ctx: &mut Self::Context) -> Self::Result {
        let FetchManifest { key, group, has_stale, since, trace } = fetch;
        if self.is_absent(&key, Instant::now()) {
            return Response::reply(SharedOutcome::at_once(Err(Cause::NotFound)));
        }
        let (receiver, coalesced) = match self.fetches.join_or_reuse(&key, |at, outcome| since.covers(at, outcome)) {
            Join::Full => {
                refused("manifests");
                return Response::reply(SharedOutcome::at_once(Err(Cause::Busy)));
            }
            Join::Coalesced(receiver) => (receiver, true),
            Join::First(receiver) => {
                let Some(share) = self.fetch_shares.try_acquire(group) else {
                    self.fetches.abandon(&key);
                    return Response::reply(SharedOutcome::at_once(Err(Cause::Busy)));
                };
                self.start_fetch(key, share, (has_stale, trace), ctx.address());
                (receiver, false)
            }
        };
        self.gauge();
        Response::fut(outcome_of(receiver, coalesced))
    }
}

impl Handler<RevalidationTimedOut> for ManifestCache {
    type Result = ();

    fn handle(&mut self, RevalidationTimedOut(origin): RevalidationTimedOut, _: &mut Self::Context) {
        self.fetcher.upstream.report(&origin, Verdict::Failed(UpstreamError::TimedOut));
    }
}

impl Handler<ForgetRecent> for ManifestCache {
    type Result = ();

    fn handle(&mut self, _: ForgetRecent, _: &mut Self::Context) {
        self.heads.forget_recent();
        self.fetches.forget_recent();
    }
}

impl Handler<ForgetUpstreams> for ManifestCache {
    type Result = ();

    fn handle(&mut self, ForgetUpstreams(names): ForgetUpstreams, _: &mut Self::Context) {
        self.absent.retain(|key, _| !names.contains(&key.origin.upstream));
        self.heads.forget_recent();
        self.fetches.forget_recent();
    }
}

impl Handler<HeadCompleted> for ManifestCache {
    type Result = ();

    fn handle(&mut self, HeadCompleted(key, outcome): HeadCompleted, _: &mut Self::Context) {
        self.learn(&key.0, &outcome);
        self.heads.complete(&key, &outcome);
        self.gauge();
    }
}

impl Handler<ManifestFetched> for ManifestCache {
    type Result = ();

    fn handle(&mut self, ManifestFetched(key, outcome): ManifestFetched, _: &mut Self::Context) {
        self.learn(&key, &outcome);
        match &outcome.outcome {
            // Bodies are not kept alive here. Later callers find the manifest in the cache.
            Ok(fetched) => self.fetches.complete_with(&key, &outcome, fetched.recall()),
            Err(_) => self.fetches.complete(&key, &outcome),
        }
        self.gauge();
    }
}

impl Drop for ManifestCache {
    fn drop(&mut self) {
        abort_on_panic("ManifestCache");
    }
}
