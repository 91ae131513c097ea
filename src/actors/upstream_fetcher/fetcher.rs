//! The actor: refuses requests to upstreams that have just failed, and runs the others in tasks of its arbiter.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::backoffs::Backoffs;
use super::gates::{Gate, Gates};
use super::handle::Current;
use super::limits::UpstreamLimits;
use super::request::{ContentKind, UpstreamRequest, Urgency, Verdict};
use super::states::GAUGE_INTERVAL;
use crate::actors::abort_on_panic::abort_on_panic;
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_budget::Scarcity;
use crate::domain::pull_shares::PullShares;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::NetworkMode;
use crate::upstream::{Registry, ReservedFor, UpstreamError};

/// Owner of the backoffs of all upstreams; see the module.
pub(super) struct UpstreamFetcher {
    /// The present upstreams and their limits. The handle replaces them.
    pub(super) current: Arc<ArcSwap<Current>>,
    /// The backoffs of each kind of content.
    backoffs: [Backoffs; ContentKind::ALL.len()],
    pub(super) gates: Gates,
    shares: HashMap<(UpstreamName, Account), PullShares>,
}

/// Limits, client and gate for an admitted request.
struct Admitted {
    limits: Arc<UpstreamLimits>,
    registry: Arc<Registry>,
    gate: Gate,
}

/// Sends a request, unless its upstream is in backoff, and replies with the outcome.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Dispatch<R: UpstreamRequest> {
    pub(super) request: R,
    pub(super) reply: oneshot::Sender<Result<R::Response, UpstreamError>>,
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

impl UpstreamFetcher {
    pub(super) fn new(current: Arc<ArcSwap<Current>>) -> Self {
        let (backoffs, gates, shares) = Default::default();
        Self { current, backoffs, gates, shares }
    }

    /// Returns the backoffs of a kind of content.
    pub(super) fn backoffs_of(&self, kind: ContentKind) -> &Backoffs {
        &self.backoffs[kind as usize]
    }

    fn backoffs(&mut self, kind: ContentKind) -> &mut Backoffs {
        &mut self.backoffs[kind as usize]
    }

    /// Returns what this request needs, if it may be sent.
    fn admit<R: UpstreamRequest>(&mut self, request: &R) -> Result<Admitted, UpstreamError> {
        let origin = request.origin();
        let current = self.current.load();
        let limits = current.limits.get(&origin.upstream).cloned().ok_or(UpstreamError::NotConfigured)?;
        let registry = current.registries.of(&origin.upstream)?;
        if current.mode == NetworkMode::Offline {
            return Err(UpstreamError::Offline);
        }
        let now = Instant::now();
        self.check_budget(request, &registry, now)?;
        match self.backoffs(R::KIND).spares(origin, request.urgency(), now) {
            Some(error) => Err(UpstreamError::Spared(Box::new(error))),
            None => Ok(Admitted { limits, registry, gate: self.gates.of(R::KIND, origin) }),
        }
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

/// Sends an admitted request, and again while upstream's limit is reached and the request may wait for it. Returns
/// `None` if the caller has left before.
async fn run<R: UpstreamRequest>(
    request: R,
    Admitted { limits, registry, gate }: &Admitted,
    reply: &mut oneshot::Sender<Result<R::Response, UpstreamError>>,
) -> Option<Result<R::Response, UpstreamError>> {
    let (wait, mut was_sent) = (limits.wait(&request), false);
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
        let outcome = run_once(request.clone(), limits, registry.clone(), reply).await?;
        pass.end(&outcome);
        was_sent = true;
        if wait.until.is_none() || !matches!(outcome, Err(UpstreamError::RateLimited(_))) {
            return Some(outcome);
        }
    }
}

/// Sends a request once it has a permit. Returns `None` if the caller has left before.
async fn run_once<R: UpstreamRequest>(
    request: R,
    limits: &UpstreamLimits,
    registry: Arc<Registry>,
    reply: &mut oneshot::Sender<Result<R::Response, UpstreamError>>,
) -> Option<Result<R::Response, UpstreamError>> {
    let (late, group, has_permit) = (request.timeout(), request.group(), Cell::new(false));
    let sent = async {
        let permit = tokio::select! {
            permit = limits.permit(R::POOL, group) => permit,
            () = reply.closed() => return None,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(error) => return Some(Err(error)),
        };
        has_permit.set(true);
        // A task of its own: a panic becomes an error of the caller alone, and the actor lives on.
        let work = async move { request.send(registry).await.map(|response| R::holding(response, permit)) };
        Some(actix_rt::spawn(work).await.unwrap_or(Err(UpstreamError::Lost)))
    };
    match late {
        // A wait for a permit says nothing about upstream.
        Some((time, late)) => timeout(time, sent)
            .await
            .unwrap_or_else(|_elapsed| Some(if has_permit.get() { late } else { Err(UpstreamError::Busy) })),
        None => sent.await,
    }
}

impl Actor for UpstreamFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.gauge_circuits();
        ctx.run_interval(GAUGE_INTERVAL, |fetcher, _| fetcher.gauge_circuits());
    }
}

impl Drop for UpstreamFetcher {
    fn drop(&mut self) {
        abort_on_panic("UpstreamFetcher");
    }
}

impl<R: UpstreamRequest> Handler<Dispatch<R>> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, Dispatch { request, mut reply }: Dispatch<R>, ctx: &mut Context<Self>) {
        let admitted = match self.admit(&request) {
            Ok(admitted) => admitted,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let (me, origin) = (ctx.address(), request.origin().clone());
        actix_rt::spawn(async move {
            let outcome = run(request, &admitted, &mut reply).await;
            let verdict = outcome.as_ref().map_or(Verdict::Open, R::verdict);
            // Before the reply, so that the caller's next request meets what this one has shown.
            me.do_send(Report { kind: R::KIND, origin, verdict });
            if let Some(outcome) = outcome {
                drop(reply.send(outcome));
            }
        });
    }
}

impl Handler<Report> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, Report { kind, origin, verdict }: Report, _: &mut Context<Self>) {
        self.backoffs(kind).learn(&origin, &verdict, Instant::now());
    }
}

impl Handler<ForgetFailures> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, ForgetFailures(names): ForgetFailures, _: &mut Context<Self>) {
        self.backoffs.iter_mut().for_each(|backoffs| backoffs.forget(&names));
        self.gates.forget(&names);
    }
}
