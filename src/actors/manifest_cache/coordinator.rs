//! The ManifestCache coalesces upstream requests for manifests, remembers manifests that do not exist there
//! (negative entries), and backs off from an upstream that has just failed. It fetches, verifies and stores
//! manifests; access is decided in [`crate::actors::manifest_cache::handle`], where the cached manifests are read, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use quick_cache::unsync::Cache;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::fetch::Fetcher;
use super::request::{FetchManifest, ForgetRecent, ForgetUpstreams, HeadManifest, ManifestKey, RevalidationTimedOut};
use super::response::{Fetched, SharedOutcome};
use super::{CurrentTimes, ManifestCacheOptions};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::actors::admission::refused;
use crate::actors::backoffs::Backoffs;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::pull_failure::Cause;
use crate::actors::single_flight::{Join, SingleFlight};
use crate::actors::unstored_reports::UnstoredReports;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::id::GroupId;
use crate::store::content::ContentStore;
use crate::upstream::ManifestHead;

/// Coordinates upstream requests for manifests; see the module.
pub(super) struct ManifestCache {
    fetcher: Fetcher,
    times: CurrentTimes,
    /// `HEAD` requests under way. The flag is true for revalidations, which have a shorter timeout.
    heads: SingleFlight<(ManifestKey, bool), Result<ManifestHead, Cause>>,
    fetches: SingleFlight<ManifestKey, Result<Fetched, Cause>>,
    /// Negative entries, with the time until which each is valid.
    absent: Cache<ManifestKey, Instant>,
    backoffs: Backoffs,
}

/// Reports the outcome of a `HEAD`.
#[derive(Message)]
#[rtype(result = "()")]
struct HeadCompleted((ManifestKey, bool), Result<ManifestHead, Cause>);

/// Reports the outcome of a fetch.
#[derive(Message)]
#[rtype(result = "()")]
struct ManifestFetched(ManifestKey, Result<Fetched, Cause>);

/// Maximum number of negative entries. Without it, a client that asks for names at random would fill the memory.
const MAX_ABSENT: usize = 10_000;

/// Maximum time of a fetch. Without it, a manifest that trickles in would keep all later pulls of its tag waiting.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum time of a `HEAD` when there is no stale manifest to serve instead.
const HEAD_TIMEOUT: Duration = Duration::from_secs(18);

impl ManifestCache {
    pub(super) fn new(
        options: &ManifestCacheOptions,
        times: CurrentTimes,
        upstream: UpstreamHandle,
        store: ContentStore,
        memory: MemoryBudget,
        unstored: Arc<UnstoredReports>,
    ) -> Self {
        let max_stored_bytes = options.max_manifest_bytes;
        Self {
            heads: SingleFlight::new(options.max_fetches),
            fetches: SingleFlight::new(options.max_fetches),
            fetcher: Fetcher { upstream, store, memory, unstored, max_stored_bytes },
            times,
            absent: Cache::new(MAX_ABSENT),
            backoffs: Backoffs::default(),
        }
    }

    fn is_absent(&self, key: &ManifestKey, now: Instant) -> bool {
        self.absent.get(key).is_some_and(|until| now < *until)
    }

    fn start_head(&self, key: ManifestKey, revalidation: bool, me: Addr<Self>) {
        let fetcher = self.fetcher.clone();
        // A revalidation gives a `HEAD` half of its time, so that a `GET` can still decide: some
        // upstreams hang on `HEAD`.
        let (limit, late) = if revalidation {
            (self.times.load().revalidate_timeout / 2, Ok(ManifestHead::TooSlow))
        } else {
            (HEAD_TIMEOUT, Err(Cause::TimedOut))
        };
        actix_rt::spawn(async move {
            let requested = key.clone();
            let work = async move { timeout(limit, fetcher.head(&requested)).await.unwrap_or(late) };
            let outcome = actix_rt::spawn(work).await.unwrap_or(Err(Cause::Internal));
            me.do_send(HeadCompleted((key, revalidation), outcome));
        });
    }

    fn start_fetch(&self, key: ManifestKey, group: GroupId, me: Addr<Self>) {
        let fetcher = self.fetcher.clone();
        actix_rt::spawn(async move {
            let requested = key.clone();
            let work = async move {
                timeout(FETCH_TIMEOUT, fetcher.fetch(&requested, group)).await.unwrap_or(Err(Cause::TimedOut))
            };
            let outcome = actix_rt::spawn(work).await.unwrap_or(Err(Cause::Internal));
            me.do_send(ManifestFetched(key, outcome));
        });
    }

    /// Updates the backoffs and the negative entries from an outcome.
    fn learn<T>(&mut self, key: &ManifestKey, outcome: &Result<T, Cause>) {
        let (now, failure) = (Instant::now(), outcome.as_ref().err());
        self.backoffs.learn(&key.origin, failure, now);
        if failure == Some(&Cause::NotFound) {
            self.absent.insert(key.clone(), now + self.times.load().negative_ttl);
        }
    }

    fn gauge(&self) {
        metrics::gauge!("dependency_proxy_manifest_requests_in_flight")
            .set((self.heads.len() + self.fetches.len()) as f64);
    }
}

/// Waits for a shared outcome. A sender that is dropped without an outcome is a fault of this service.
async fn outcome_of<T>(receiver: oneshot::Receiver<Result<T, Cause>>, coalesced: bool) -> SharedOutcome<T> {
    let outcome = receiver.await.unwrap_or(Err(Cause::Internal));
    SharedOutcome { outcome, coalesced, sent: !coalesced }
}

impl Actor for ManifestCache {
    type Context = Context<Self>;
}

impl Handler<HeadManifest> for ManifestCache {
    type Result = Response<SharedOutcome<ManifestHead>>;

    fn handle(&mut self, message: HeadManifest, ctx: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        if self.is_absent(&message.key, now) {
            return Response::reply(SharedOutcome::at_once(Cause::NotFound));
        }
        let HeadManifest { key, revalidation, since } = message;
        let key = (key, revalidation);
        let (receiver, coalesced) = match self.heads.join_or_reuse(&key, |at, outcome| since.covers(at, outcome)) {
            Join::Full => {
                refused("manifests");
                return Response::reply(SharedOutcome::at_once(Cause::Busy));
            }
            Join::Coalesced(receiver) => (receiver, true),
            Join::First(receiver) => {
                // The key is registered as under way by now; completing it removes it again.
                if let Some(cause) = revalidation.then(|| self.backoffs.spares(&key.0.origin, now)).flatten() {
                    self.heads.complete(&key, &Err(cause.clone()));
                    return Response::reply(SharedOutcome::at_once(cause));
                }
                self.start_head(key.0, revalidation, ctx.address());
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
        let FetchManifest { key, group, since } = fetch;
        if self.is_absent(&key, Instant::now()) {
            return Response::reply(SharedOutcome::at_once(Cause::NotFound));
        }
        let (receiver, coalesced) = match self.fetches.join_or_reuse(&key, |at, outcome| since.covers(at, outcome)) {
            Join::Full => {
                refused("manifests");
                return Response::reply(SharedOutcome::at_once(Cause::Busy));
            }
            Join::Coalesced(receiver) => (receiver, true),
            Join::First(receiver) => {
                self.start_fetch(key, group, ctx.address());
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
        self.backoffs.learn(&origin, Some(&Cause::TimedOut), Instant::now());
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
        self.backoffs.forget(&names);
        self.heads.forget_recent();
        self.fetches.forget_recent();
    }
}

impl Handler<HeadCompleted> for ManifestCache {
    type Result = ();

    fn handle(&mut self, HeadCompleted(key, outcome): HeadCompleted, _: &mut Self::Context) {
        match outcome {
            // Inconclusive: the outcome of the `GET` that follows counts.
            Ok(ManifestHead::Open | ManifestHead::NotRequested) => self.backoffs.release(&key.0.origin),
            // Perhaps only a `HEAD` hangs, and only in this repository.
            Ok(ManifestHead::TooSlow) | Err(Cause::TimedOut) => {
                self.backoffs.head_timed_out(&key.0.origin, Instant::now());
            }
            Ok(ManifestHead::Confirmed(_)) | Err(_) => self.learn(&key.0, &outcome),
        }
        self.heads.complete(&key, &outcome);
        self.gauge();
    }
}

impl Handler<ManifestFetched> for ManifestCache {
    type Result = ();

    fn handle(&mut self, ManifestFetched(key, outcome): ManifestFetched, _: &mut Self::Context) {
        self.learn(&key, &outcome);
        match &outcome {
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
