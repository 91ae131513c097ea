//! The ManifestCache coalesces upstream requests for manifests, remembers manifests that do not exist there
//! (negative entries), and backs off from an upstream that has just failed. It fetches, verifies and stores
//! manifests; access is decided in [`super::manifests`], where the cached manifests are read, too.

mod fetcher;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::fetcher::Fetcher;
use super::abort_on_panic::abort_on_panic;
use super::backoffs::Backoffs;
use super::failure::Cause;
use super::flights::{Join, Recall, SingleFlight};
use super::memory_budget::{Lease, MemoryBudget};
use super::places::refused;
use super::unstored::UnstoredReports;
use super::upstream_fetcher::Upstream;
use crate::domain::id::GroupId;
use crate::domain::manifest::Named;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use crate::store::manifests::{Manifest, ManifestStore};
use crate::upstream::ManifestHead;

/// Coordinates upstream requests for manifests; see the module.
pub(super) struct ManifestCache {
    fetcher: Fetcher,
    times: CurrentTimes,
    /// `HEAD` requests under way. The flag is true for revalidations, which have a shorter timeout.
    heads: SingleFlight<(ManifestKey, bool), Result<ManifestHead, Cause>>,
    fetches: SingleFlight<ManifestKey, Result<Fetched, Cause>>,
    /// Negative entries, with the time until which each is valid.
    absent: HashMap<ManifestKey, Instant>,
    backoffs: Backoffs,
}

/// Options of the manifest cache.
#[derive(Clone, Debug)]
pub struct ManifestCacheOptions {
    /// The times that can change while the service runs.
    pub times: CacheTimes,
    /// Maximum length of a stored manifest in bytes; longer ones are passed on without being stored.
    pub max_manifest_bytes: u64,
    /// Maximum number of different manifests that are requested from upstream at the same time.
    pub max_fetches: usize,
    /// Maximum number of pulls that wait for a manifest that is not in memory.
    pub max_waiters: usize,
    /// Maximum size of the manifests in memory, in bytes.
    pub memory_bytes: u64,
    /// Maximum number of links of groups to manifests in memory.
    pub known_links: usize,
    /// Maximum number of tags in memory.
    pub known_tags: usize,
}

/// Timeouts and times to live that can change while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheTimes {
    /// Maximum time of a revalidation.
    pub revalidate_timeout: Duration,
    /// Time to live of negative (404) entries.
    pub negative_ttl: Duration,
    /// Time after its last confirmation for which a tag is served while upstream refuses the account; zero: not at all.
    pub account_grace: Duration,
}

/// The current [`CacheTimes`].
pub(super) type CurrentTimes = Arc<ArcSwap<CacheTimes>>;

/// Key under which upstream requests for a manifest are coalesced: at most one request per key is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ManifestKey {
    pub(super) origin: Origin,
    pub(super) reference: Reference,
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

/// Sends a `HEAD` for a manifest.
#[derive(Message)]
#[rtype(result = "SharedOutcome<ManifestHead>")]
pub(super) struct HeadManifest {
    pub(super) key: ManifestKey,
    /// True if the caller can serve a stale manifest instead: then the request has a shorter timeout, and is not
    /// sent at all while its upstream is in backoff.
    pub(super) revalidation: bool,
    pub(super) since: Since,
}

/// Fetches, verifies and stores a manifest.
#[derive(Message)]
#[rtype(result = "SharedOutcome<Fetched>")]
pub(super) struct FetchManifest {
    pub(super) key: ManifestKey,
    /// The group whose share of memory a large manifest uses, unless another group's request is under way already.
    pub(super) group: GroupId,
    pub(super) since: Since,
}

/// Maximum age of a shared outcome that is reused. Covers the time between upstream's response and its being stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// Time at which the caller arrived. Outcomes that are completed after it are reused.
    pub(super) requested_at: Instant,
    /// Maximum time before that at which a successful outcome may have been completed.
    pub(super) max_age: Duration,
}

/// Reports that neither a `HEAD` nor a `GET` decided in time whether a tag of this origin has moved. Its
/// upstream goes into backoff.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RevalidationTimedOut(pub(super) Origin);

/// Forgets negative entries, failures and recent outcomes of these upstreams, whose addresses or accounts have changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetUpstreams(pub(super) Vec<UpstreamName>);

/// Forgets the recent outcomes, so that they are not reused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetRecent;

/// Reports the outcome of a `HEAD`.
#[derive(Message)]
#[rtype(result = "()")]
struct HeadCompleted((ManifestKey, bool), Result<ManifestHead, Cause>);

/// Reports the outcome of a fetch.
#[derive(Message)]
#[rtype(result = "()")]
struct ManifestFetched(ManifestKey, Result<Fetched, Cause>);

/// Maximum time of a fetch. Without it, a manifest that trickles in would keep all later pulls of its tag waiting.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum time of a `HEAD` when there is no stale manifest to serve instead.
const HEAD_TIMEOUT: Duration = Duration::from_secs(18);

impl ManifestCache {
    pub(super) fn new(
        options: &ManifestCacheOptions,
        times: CurrentTimes,
        upstream: Upstream,
        store: Arc<ManifestStore>,
        memory: MemoryBudget,
        unstored: Arc<UnstoredReports>,
    ) -> Self {
        let max_stored_bytes = options.max_manifest_bytes;
        Self {
            heads: SingleFlight::new(options.max_fetches),
            fetches: SingleFlight::new(options.max_fetches),
            fetcher: Fetcher { upstream, store, memory, unstored, max_stored_bytes },
            times,
            absent: HashMap::new(),
            backoffs: Backoffs::default(),
        }
    }

    fn is_absent(&mut self, key: &ManifestKey, now: Instant) -> bool {
        self.absent.retain(|_, until| now < *until);
        self.absent.contains_key(key)
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
        metrics::gauge!("dependency_proxy_manifest_questions").set((self.heads.len() + self.fetches.len()) as f64);
    }
}

impl Fetched {
    /// Returns a function that returns this manifest again as long as another holder keeps it in memory.
    fn recall(&self) -> Recall<Result<Self, Cause>> {
        let (manifest, named, stored) = (Arc::downgrade(&self.manifest), Arc::downgrade(&self.named), self.stored);
        Box::new(move || {
            Some(Ok(Self { manifest: manifest.upgrade()?, named: named.upgrade()?, stored, _lease: None }))
        })
    }
}

impl<T> SharedOutcome<T> {
    /// Returns a failure for which no request was sent.
    fn at_once(cause: Cause) -> Self {
        Self { outcome: Err(cause), coalesced: false, sent: false }
    }
}

impl Since {
    /// Returns true if an outcome that was completed at this time is recent enough.
    fn covers<T>(&self, completed_at: Instant, outcome: &Result<T, Cause>) -> bool {
        let max_age = if outcome.is_ok() { self.max_age } else { Duration::ZERO };
        self.requested_at < completed_at + max_age
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
            Ok(ManifestHead::Affirmed(_)) | Err(_) => self.learn(&key.0, &outcome),
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
