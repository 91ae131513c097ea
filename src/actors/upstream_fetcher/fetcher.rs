//! The actor: refuses requests to upstreams that have just failed, and runs the others in tasks of its arbiter.
//!
//! A request goes to the mirrors first, where upstream has some. They have a health of their own
//! (`upstream::mirrored`): backoff, gate and pull limit are those of upstream's own registry, and only what no mirror
//! delivers depends on them. What a mirror delivers shows nothing about upstream's own registry.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::backoffs::Backoffs;
use super::gates::{Gate, Gates};
use super::handle::Current;
use super::limits::UpstreamLimits;
use super::request::{ContentKind, UpstreamRequest, Urgency, Verdict};
use super::states::{GAUGE_INTERVAL, Gauged};
use super::traced::{self, Traced};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_budget::Scarcity;
use crate::domain::pull_shares::PullShares;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::NetworkMode;
use crate::telemetry::TraceParent;
use crate::upstream::{Registry, ReservedFor, UpstreamError};

/// Owner of the backoffs of all upstreams; see the module.
pub(super) struct UpstreamFetcher {
    /// The present upstreams and their limits. The handle replaces them.
    pub(super) current: Arc<ArcSwap<Current>>,
    /// The backoffs of each kind of content.
    backoffs: [Backoffs; ContentKind::ALL.len()],
    pub(super) gates: Gates,
    shares: HashMap<(UpstreamName, Account), PullShares>,
    /// The accounts with gauges, and whether their upstreams have reported pull limits.
    pub(super) gauged: HashMap<Gauged, bool>,
}

/// Limits, client and gate for an admitted request, and the times that it has taken at mirrors.
struct Admitted {
    limits: Arc<UpstreamLimits>,
    registry: Arc<Registry>,
    gate: Gate,
    times: Times,
    trace: Option<TraceParent>,
}

/// Sends a request to the mirrors and, unless its upstream is in backoff, to upstream's own registry, and replies with
/// the outcome.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Dispatch<R: UpstreamRequest> {
    pub(super) request: R,
    pub(super) reply: Reply<R>,
    /// The span of the pull, if there is one.
    pub(super) trace: Option<TraceParent>,
}

/// Sends a request to upstream's own registry, because no mirror has delivered.
#[derive(Message)]
#[rtype(result = "()")]
struct DispatchOwn<R: UpstreamRequest> {
    request: R,
    reply: Reply<R>,
    times: Times,
    trace: Option<TraceParent>,
    /// Response to the caller if upstream's own registry fails, too.
    inconclusive: Option<R::Response>,
}

type Reply<R> = oneshot::Sender<Result<<R as UpstreamRequest>::Response, UpstreamError>>;

/// Times that a request has taken so far.
#[derive(Clone, Copy, Default)]
struct Times {
    /// For a permit.
    waited: Duration,
    /// With a permit.
    sent: Duration,
}

/// Reports what the end of a request shows about its upstream.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Report {
    pub(super) kind: ContentKind,
    pub(super) origin: Origin,
    pub(super) verdict: Verdict,
}

/// Forgets the failures of these upstreams, whose addresses or accounts have changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetFailures(pub(super) Vec<UpstreamName>);

/// Forgets what is known about these accounts of groups, which do not exist any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetAccounts(pub(super) Vec<(UpstreamName, Account)>);

impl UpstreamFetcher {
    pub(super) fn new(current: Arc<ArcSwap<Current>>) -> Self {
        let (backoffs, gates, shares, gauged) = Default::default();
        Self { current, backoffs, gates, shares, gauged }
    }

    /// Returns the backoffs of a kind of content.
    pub(super) fn backoffs_of(&self, kind: ContentKind) -> &Backoffs {
        &self.backoffs[kind as usize]
    }

    fn backoffs(&mut self, kind: ContentKind) -> &mut Backoffs {
        &mut self.backoffs[kind as usize]
    }

    /// Returns the limits and the registries of a request, if upstreams are contacted at all.
    fn serving<R: UpstreamRequest>(&self, request: &R) -> Result<(Arc<UpstreamLimits>, Arc<Registry>), UpstreamError> {
        let (current, upstream) = (self.current.load(), &request.origin().upstream);
        let limits = current.limits.get(upstream).cloned().ok_or(UpstreamError::NotConfigured)?;
        let registry = current.registries.of(upstream)?;
        if current.mode == NetworkMode::Offline { Err(UpstreamError::Offline) } else { Ok((limits, registry)) }
    }

    /// Returns what this request needs, if it may be sent to upstream's own registry.
    fn admit<R: UpstreamRequest>(
        &mut self,
        request: &R,
        times: Times,
        trace: Option<TraceParent>,
    ) -> Result<Admitted, UpstreamError> {
        let (limits, registry) = self.serving(request)?;
        let (now, origin) = (Instant::now(), request.origin());
        self.check_budget(request, &registry, now)?;
        match self.backoffs(R::KIND).spares(origin, request.urgency(), now) {
            Some(error) => Err(UpstreamError::Spared(Box::new(error))),
            None => {
                let registry = Arc::new(registry.own_alone(times.sent));
                Ok(Admitted { limits, registry, gate: self.gates.of(R::KIND, origin), times, trace })
            }
        }
    }

    /// Sends a request to upstream's own registry in a task, if it is admitted.
    fn dispatch_own<R: UpstreamRequest>(&mut self, own: DispatchOwn<R>, me: Addr<Self>) {
        let DispatchOwn { request, mut reply, times, trace, inconclusive } = own;
        let admitted = match self.admit(&request, times, trace) {
            Ok(admitted) => admitted,
            Err(error) => return drop(reply.send(inconclusive.ok_or(error))),
        };
        let origin = request.origin().clone();
        actix_rt::spawn(async move {
            let outcome = run(request, &admitted, &mut reply).await;
            let verdict = outcome.as_ref().map_or(Verdict::Open, R::verdict);
            // Before the reply, so that the caller's next request meets what this one has shown.
            me.do_send(Report { kind: R::KIND, origin, verdict });
            if let Some(outcome) = outcome {
                drop(reply.send(outcome.or_else(|error| inconclusive.ok_or(error))));
            }
        });
    }

    /// Refuses requests that give way as upstream's pull limit is nearly reached: revalidations, and pulls of groups
    /// that have used their share.
    fn check_budget<R: UpstreamRequest>(
        &mut self,
        request: &R,
        registry: &Registry,
        now: Instant,
    ) -> Result<(), UpstreamError> {
        let Origin { upstream, account, repository: _ } = request.origin();
        let budget = registry.budget(account, |budget| (budget.scarcity(now), budget.shared()));
        let (scarcity, shared) = budget.unwrap_or((Scarcity::Plenty, 0));
        if request.urgency() == Urgency::Optional && scarcity == Scarcity::VeryLow {
            return Err(UpstreamError::Reserved(ReservedFor::Misses));
        }
        let Some(group) = request.group().filter(|_| request.is_pull()) else { return Ok(()) };
        let shares = self.shares.entry((upstream.clone(), account.clone())).or_default();
        if scarcity == Scarcity::Plenty {
            shares.note(group, now);
        } else if !shares.admit(group, shared, now) {
            return Err(UpstreamError::Reserved(ReservedFor::OtherGroups));
        }
        Ok(())
    }
}

/// Sends a request to the mirrors, and leaves it to upstream's own registry if none delivers.
async fn run_at_mirrors<R: UpstreamRequest>(
    request: R,
    limits: Arc<UpstreamLimits>,
    mirrors: Registry,
    (mut reply, trace): (Reply<R>, Option<TraceParent>),
    fetcher: Addr<UpstreamFetcher>,
) {
    let mut times = Times::default();
    let sent = Traced { parent: trace, is_mirror: true, repeats: 0 };
    let outcome = run_once(request.clone(), &limits, Arc::new(mirrors), (&mut times, sent), &mut reply).await;
    let is_late = request.timeout().is_some_and(|(time, _)| time <= times.waited + times.sent);
    let inconclusive = match outcome {
        Some(Ok(response)) if !is_late && !R::is_conclusive(&response) => Some(response),
        Some(Err(UpstreamError::NotFound)) => None,
        Some(outcome) => return drop(reply.send(outcome)),
        None => return,
    };
    fetcher.do_send(DispatchOwn { request, reply, times, trace, inconclusive });
}

/// Sends an admitted request, and again while upstream's limit is reached and the request may wait for it. Returns
/// `None` if the caller has left before.
async fn run<R: UpstreamRequest>(
    request: R,
    Admitted { limits, registry, gate, times, trace }: &Admitted,
    reply: &mut Reply<R>,
) -> Option<Result<R::Response, UpstreamError>> {
    let (wait, mut was_sent) = (limits.wait(&request, times.waited + times.sent), false);
    let mut sent = Traced { parent: *trace, is_mirror: false, repeats: 0 };
    loop {
        let entered = tokio::select! {
            entered = gate.enter(wait) => entered,
            () = reply.closed() => return None,
        };
        let pass = match entered {
            Ok(pass) => pass,
            Err(error) if was_sent => return Some(Err(error)),
            Err(error) => return Some(Err(UpstreamError::Spared(Box::new(error)))),
        };
        let outcome = run_once(request.clone(), limits, registry.clone(), (&mut times.clone(), sent), reply).await?;
        sent.repeats += 1;
        pass.end(&outcome);
        was_sent = true;
        if wait.until.is_none() || !matches!(outcome, Err(UpstreamError::RateLimited(_))) {
            return Some(outcome);
        }
    }
}

/// Sends a request once it has a permit, and adds the times that this takes. Returns `None` if the caller has left
/// before.
async fn run_once<R: UpstreamRequest>(
    request: R,
    limits: &UpstreamLimits,
    registry: Arc<Registry>,
    (times, traced): (&mut Times, Traced),
    reply: &mut Reply<R>,
) -> Option<Result<R::Response, UpstreamError>> {
    let (late, before, begun) = (request.timeout(), *times, Instant::now());
    let (group, permit_at, span) = (request.group(), Cell::new(None), Cell::new(None));
    let sent = async {
        let permit = tokio::select! {
            permit = limits.permit(R::POOL, group, before.waited) => permit,
            () = reply.closed() => return None,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(error) => return Some(Err(error)),
        };
        permit_at.set(Some(Instant::now()));
        span.set(traced.begin(&request));
        // A task of its own: a panic becomes an error of the caller alone, and the actor lives on.
        let work = async move { request.send(registry).await.map(|response| R::holding(response, permit)) };
        Some(actix_rt::spawn(work).await.unwrap_or(Err(UpstreamError::Lost)))
    };
    let outcome = match late {
        // A wait for a permit says nothing about upstream.
        Some((time, late)) => timeout(time.saturating_sub(before.waited + before.sent), sent)
            .await
            .unwrap_or_else(|_elapsed| Some(if permit_at.get().is_some() { late } else { Err(UpstreamError::Busy) })),
        None => sent.await,
    };
    if let (Some(span), Some(outcome)) = (span.take(), &outcome) {
        traced::end::<R>(span, outcome);
    }
    let (now, sent_at) = (Instant::now(), permit_at.get());
    times.waited += sent_at.unwrap_or(now).duration_since(begun);
    times.sent += sent_at.map_or(Duration::ZERO, |at| now.duration_since(at));
    outcome
}

impl Actor for UpstreamFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.set_gauges();
        ctx.run_interval(GAUGE_INTERVAL, |fetcher, _| fetcher.set_gauges());
    }
}

impl Drop for UpstreamFetcher {
    fn drop(&mut self) {
        abort_on_panic("UpstreamFetcher");
    }
}

impl<R: UpstreamRequest> Handler<Dispatch<R>> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, Dispatch { request, reply, trace }: Dispatch<R>, ctx: &mut Context<Self>) {
        let (limits, registry) = match self.serving(&request) {
            Ok(serving) => serving,
            Err(error) => return drop(reply.send(Err(error))),
        };
        match registry.mirrors_alone() {
            Some(mirrors) => {
                actix_rt::spawn(run_at_mirrors(request, limits, mirrors, (reply, trace), ctx.address()));
            }
            None => {
                let own = DispatchOwn { request, reply, times: Times::default(), trace, inconclusive: None };
                self.dispatch_own(own, ctx.address());
            }
        }
    }
}

impl<R: UpstreamRequest> Handler<DispatchOwn<R>> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, own: DispatchOwn<R>, ctx: &mut Context<Self>) {
        self.dispatch_own(own, ctx.address());
    }
}

impl Handler<Report> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, Report { kind, origin, verdict }: Report, _: &mut Context<Self>) {
        self.backoffs(kind).learn(&origin, &verdict, Instant::now());
    }
}

impl Handler<ForgetAccounts> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, ForgetAccounts(gone): ForgetAccounts, _: &mut Context<Self>) {
        for account in &gone {
            self.backoffs.iter_mut().for_each(|backoffs| backoffs.forget_account(account));
            self.gates.forget_account(account);
            self.shares.remove(account);
        }
        self.set_gauges();
        self.gauged.retain(|account, _| !gone.contains(account));
    }
}

impl Handler<ForgetFailures> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, ForgetFailures(names): ForgetFailures, _: &mut Context<Self>) {
        self.backoffs.iter_mut().for_each(|backoffs| backoffs.forget(&names));
        self.gates.forget(&names);
        self.set_gauges();
    }
}
