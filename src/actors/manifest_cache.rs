//! The ManifestCache joins what many ask of upstream at once, remembers what is not there, and leaves an upstream alone that
//! has just failed. It fetches, verifies and stores; who may have what is decided in [`super::manifests`].

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
use super::flights::{Boarding, Flights, Recall};
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

/// Asks upstream for manifests; see the module.
pub(super) struct ManifestCache {
    fetcher: Fetcher,
    times: CurrentTimes,
    /// By question and whether it is a revalidation, because those are given up earlier.
    heads: Flights<(Question, bool), Result<ManifestHead, Cause>>,
    fetches: Flights<Question, Result<Fetched, Cause>>,
    absent: HashMap<Question, Instant>,
    backoffs: Backoffs,
}

/// How manifests are cached.
#[derive(Clone, Debug)]
pub struct ManifestCacheOptions {
    /// Those that may be changed later.
    pub times: CacheTimes,
    /// Longer manifests are passed on and not stored.
    pub max_manifest_bytes: u64,
    /// How many different manifests are asked for at once.
    pub max_fetches: usize,
    /// How many requests may wait for what is not in memory.
    pub max_waiters: usize,
    /// How many bytes of manifests are kept in memory.
    pub memory_bytes: u64,
    /// How many links of groups to manifests are remembered in memory.
    pub known_links: usize,
    /// How many tags are remembered in memory.
    pub known_tags: usize,
}

/// Timeouts and times to live that can change while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheTimes {
    /// Maximum time of a revalidation.
    pub revalidate_timeout: Duration,
    /// Time that an absence is used without revalidation.
    pub negative_ttl: Duration,
    /// Time that a tag is served after it was last confirmed, while upstream refuses the account; zero: not at all.
    pub account_grace: Duration,
}

/// The present [`CacheTimes`].
pub(super) type CurrentTimes = Arc<ArcSwap<CacheTimes>>;

/// What is asked: the same question is asked once at a time, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) origin: Origin,
    pub(super) reference: Reference,
}

/// A verified manifest.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) manifest: Arc<Manifest>,
    /// What it names.
    pub(super) named: Arc<Named>,
    /// Whether it was stored; not where it is too long, or the store failed.
    pub(super) stored: bool,
    /// The lease of the group for which it was fetched, where it is large.
    pub(super) _lease: Option<Arc<Lease>>,
}

/// An answer that may have been asked for by somebody else.
#[derive(Clone, Debug)]
pub(super) struct Shared<T> {
    pub(super) answer: Result<T, Cause>,
    /// Whether the question was under way already.
    pub(super) joined: bool,
    /// Whether upstream was asked because of this asker.
    pub(super) asked: bool,
}

/// Asks what upstream has, without fetching it.
#[derive(Message)]
#[rtype(result = "Shared<ManifestHead>")]
pub(super) struct AskHead {
    pub(super) question: Question,
    /// Whether the asker has something to serve should there be no answer: then it is given up early, and not asked at all
    /// where upstream has just failed.
    pub(super) revalidation: bool,
    pub(super) since: Since,
}

/// Fetches, verifies and stores a manifest.
#[derive(Message)]
#[rtype(result = "Shared<Fetched>")]
pub(super) struct FetchManifest {
    pub(super) question: Question,
    /// The group whose share of memory it takes, where it is large and nobody else has requested it.
    pub(super) group: GroupId,
    pub(super) since: Since,
}

/// How old an answer may be that will do. The time between an answer and its being at hand for all is bridged with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// When the asker came: whatever upstream has answered since.
    pub(super) asked_at: Instant,
    /// For how long before that what upstream gave is believed.
    pub(super) believed: Duration,
}

/// Reports that neither a `HEAD` nor a `GET` decided in time whether a tag of this origin has moved: its upstream is spared for a
/// while.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RevalidationTimedOut(pub(super) Origin);

/// Forgets what was learnt of these upstreams, which are reached in another way or with other accounts now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetUpstreams(pub(super) Vec<UpstreamName>);

/// Forgets the answers of the last moments.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetAnswers;

#[derive(Message)]
#[rtype(result = "()")]
struct HeadAnswered((Question, bool), Result<ManifestHead, Cause>);

#[derive(Message)]
#[rtype(result = "()")]
struct ManifestFetched(Question, Result<Fetched, Cause>);

/// A manifest that takes longer to arrive is given up: one that trickles in must not keep its tag from ever being fetched.
const LONGEST_FETCH: Duration = Duration::from_secs(60);

/// How long upstream may take to answer where there is nothing to serve instead.
const PATIENCE: Duration = Duration::from_secs(18);

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
            heads: Flights::new(options.max_fetches),
            fetches: Flights::new(options.max_fetches),
            fetcher: Fetcher { upstream, store, memory, unstored, max_stored_bytes },
            times,
            absent: HashMap::new(),
            backoffs: Backoffs::default(),
        }
    }

    fn is_absent(&mut self, question: &Question, now: Instant) -> bool {
        self.absent.retain(|_, until| now < *until);
        self.absent.contains_key(question)
    }

    fn start_head(&self, question: Question, revalidation: bool, me: Addr<Self>) {
        let fetcher = self.fetcher.clone();
        // A revalidation that a `HEAD` does not decide soon is left to a `GET`.
        let (limit, late) = if revalidation {
            (self.times.load().revalidate_timeout / 2, Ok(ManifestHead::TooSlow))
        } else {
            (PATIENCE, Err(Cause::TimedOut))
        };
        actix_rt::spawn(async move {
            let asked = question.clone();
            let work = async move { timeout(limit, fetcher.head(&asked)).await.unwrap_or(late) };
            let outcome = actix_rt::spawn(work).await.unwrap_or(Err(Cause::Internal));
            me.do_send(HeadAnswered((question, revalidation), outcome));
        });
    }

    fn start_fetch(&self, question: Question, group: GroupId, me: Addr<Self>) {
        let fetcher = self.fetcher.clone();
        actix_rt::spawn(async move {
            let asked = question.clone();
            let work = async move {
                timeout(LONGEST_FETCH, fetcher.fetch(&asked, group)).await.unwrap_or(Err(Cause::TimedOut))
            };
            let outcome = actix_rt::spawn(work).await.unwrap_or(Err(Cause::Internal));
            me.do_send(ManifestFetched(question, outcome));
        });
    }

    /// Learns from an outcome whether the thing exists and how its upstream is.
    fn learn<T>(&mut self, question: &Question, outcome: &Result<T, Cause>) {
        let (now, failure) = (Instant::now(), outcome.as_ref().err());
        self.backoffs.learn(&question.origin, failure, now);
        if failure == Some(&Cause::NotFound) {
            self.absent.insert(question.clone(), now + self.times.load().negative_ttl);
        }
    }

    fn gauge(&self) {
        metrics::gauge!("dependency_proxy_manifest_questions").set((self.heads.len() + self.fetches.len()) as f64);
    }
}

impl Fetched {
    /// Gives the same as long as somebody has it.
    fn recall(&self) -> Recall<Result<Self, Cause>> {
        let (manifest, named, stored) = (Arc::downgrade(&self.manifest), Arc::downgrade(&self.named), self.stored);
        Box::new(move || {
            Some(Ok(Self { manifest: manifest.upgrade()?, named: named.upgrade()?, stored, _lease: None }))
        })
    }
}

impl<T> Shared<T> {
    /// An answer for which nobody had to be asked.
    fn at_once(cause: Cause) -> Self {
        Self { answer: Err(cause), joined: false, asked: false }
    }
}

impl Since {
    fn covers<T>(&self, answered_at: Instant, answer: &Result<T, Cause>) -> bool {
        let believed = if answer.is_ok() { self.believed } else { Duration::ZERO };
        self.asked_at < answered_at + believed
    }
}

/// The outcome of a flight, for one who boarded it.
async fn landed<T>(receiver: oneshot::Receiver<Result<T, Cause>>, joined: bool) -> Shared<T> {
    let answer = receiver.await.unwrap_or(Err(Cause::Internal));
    Shared { answer, joined, asked: !joined }
}

impl Actor for ManifestCache {
    type Context = Context<Self>;
}

impl Handler<AskHead> for ManifestCache {
    type Result = Response<Shared<ManifestHead>>;

    fn handle(&mut self, ask: AskHead, ctx: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        if self.is_absent(&ask.question, now) {
            return Response::reply(Shared::at_once(Cause::NotFound));
        }
        let AskHead { question, revalidation, since } = ask;
        let key = (question, revalidation);
        let (receiver, joined) = match self.heads.board_unless(&key, |at, answer| since.covers(at, answer)) {
            Boarding::Full => {
                refused("manifests");
                return Response::reply(Shared::at_once(Cause::Busy));
            }
            Boarding::Joined(receiver) => (receiver, true),
            Boarding::First(receiver) => {
                if let Some(cause) = revalidation.then(|| self.backoffs.spares(&key.0.origin, now)).flatten() {
                    self.heads.land(&key, &Err(cause.clone()));
                    return Response::reply(Shared::at_once(cause));
                }
                self.start_head(key.0, revalidation, ctx.address());
                (receiver, false)
            }
        };
        self.gauge();
        Response::fut(landed(receiver, joined))
    }
}

impl Handler<FetchManifest> for ManifestCache {
    type Result = Response<Shared<Fetched>>;

    fn handle(&mut self, fetch: FetchManifest, ctx: &mut Self::Context) -> Self::Result {
        let FetchManifest { question, group, since } = fetch;
        if self.is_absent(&question, Instant::now()) {
            return Response::reply(Shared::at_once(Cause::NotFound));
        }
        let (receiver, joined) = match self.fetches.board_unless(&question, |at, answer| since.covers(at, answer)) {
            Boarding::Full => {
                refused("manifests");
                return Response::reply(Shared::at_once(Cause::Busy));
            }
            Boarding::Joined(receiver) => (receiver, true),
            Boarding::First(receiver) => {
                self.start_fetch(question, group, ctx.address());
                (receiver, false)
            }
        };
        self.gauge();
        Response::fut(landed(receiver, joined))
    }
}

impl Handler<RevalidationTimedOut> for ManifestCache {
    type Result = ();

    fn handle(&mut self, RevalidationTimedOut(origin): RevalidationTimedOut, _: &mut Self::Context) {
        self.backoffs.learn(&origin, Some(&Cause::TimedOut), Instant::now());
    }
}

impl Handler<ForgetAnswers> for ManifestCache {
    type Result = ();

    fn handle(&mut self, _: ForgetAnswers, _: &mut Self::Context) {
        self.heads.forget_landed();
        self.fetches.forget_landed();
    }
}

impl Handler<ForgetUpstreams> for ManifestCache {
    type Result = ();

    fn handle(&mut self, ForgetUpstreams(names): ForgetUpstreams, _: &mut Self::Context) {
        self.absent.retain(|question, _| !names.contains(&question.origin.upstream));
        self.backoffs.forget(&names);
        self.heads.forget_landed();
        self.fetches.forget_landed();
    }
}

impl Handler<HeadAnswered> for ManifestCache {
    type Result = ();

    fn handle(&mut self, HeadAnswered(key, outcome): HeadAnswered, _: &mut Self::Context) {
        match outcome {
            // The `GET` that follows tells.
            Ok(ManifestHead::Open | ManifestHead::NotRequested) => self.backoffs.release(&key.0.origin),
            // It may be the method that makes the repository hang.
            Ok(ManifestHead::TooSlow) | Err(Cause::TimedOut) => {
                self.backoffs.head_timed_out(&key.0.origin, Instant::now());
            }
            Ok(ManifestHead::Affirmed(_)) | Err(_) => self.learn(&key.0, &outcome),
        }
        self.heads.land(&key, &outcome);
        self.gauge();
    }
}

impl Handler<ManifestFetched> for ManifestCache {
    type Result = ();

    fn handle(&mut self, ManifestFetched(question, outcome): ManifestFetched, _: &mut Self::Context) {
        self.learn(&question, &outcome);
        match &outcome {
            // Bodies are not kept here: whoever comes later finds them in the cache, once those who waited are done with them.
            Ok(fetched) => self.fetches.land_with(&question, &outcome, fetched.recall()),
            Err(_) => self.fetches.land(&question, &outcome),
        }
        self.gauge();
    }
}

impl Drop for ManifestCache {
    fn drop(&mut self) {
        abort_on_panic("ManifestCache");
    }
}
