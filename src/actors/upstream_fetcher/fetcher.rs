//! The actor: refuses requests to upstreams that have just failed, and runs the others in tasks of its arbiter.
//!
//! A request goes to the mirrors first, where upstream has some. They have a health of their own
//! (`upstream::mirrored`): backoff, gate and pull limit are those of upstream's own registry, and only what no mirror
//! delivers depends on them. What a mirror delivers shows nothing about upstream's own registry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;

use super::backoffs::Backoffs;
use super::current::Current;
use super::gates::Gates;
use super::limits::UpstreamLimits;
use super::messages::{Dispatch, DispatchOwn, ForgetAccounts, ForgetFailures, Report, Times};
use super::request::{ContentKind, UpstreamRequest, Urgency, Verdict};
use super::request_task::{Admitted, run, run_at_mirrors};
use super::unwritten::Exchange;
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
    /// The exchange with other replicas; `None`: there are none.
    pub(super) exchange: Option<Exchange>,
}

/// An account with gauges.
pub(super) type Gauged = (UpstreamName, Account);

/// Interval at which the gauges are set.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

impl UpstreamFetcher {
    pub(super) fn new(current: Arc<ArcSwap<Current>>) -> Self {
        let (backoffs, gates, shares, gauged) = Default::default();
        Self { current, backoffs, gates, shares, gauged, exchange: None }
    }

    /// Returns the number of replicas that are alive.
    pub(super) fn replicas(&self) -> usize {
        self.exchange.as_ref().map_or(1, |exchange| exchange.reports.live_replicas())
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
        match self.backoffs(R::KIND).refuses(origin, request.urgency(), now) {
            Some(error) => Err(UpstreamError::InBackoff(Box::new(error))),
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
        // Each replica counts the pulls that pass it alone.
        let shared = shared / self.replicas() as u64;
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
                actix_rt::spawn(run_at_mirrors(request, limits, mirrors, (reply, trace), ctx.address().recipient()));
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
