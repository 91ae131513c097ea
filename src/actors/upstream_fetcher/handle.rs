//! Handle of the UpstreamFetcher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::current::Current;
use super::exchange::ShareLimits;
use super::fetcher::UpstreamFetcher;
use super::limits::UpstreamQueue;
use super::messages::{Dispatch, ForgetAccounts, ForgetFailures, Report};
use super::request::{ContentKind, UpstreamRequest, Verdict};
use super::states::{AccountState, ListStates};
use crate::domain::freshness::Freshness;
use crate::domain::origin::Origin;
use crate::domain::pull_budget::{PullBudget, Scarcity};
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::NetworkMode;
use crate::store::fleet::UpstreamReports;
use crate::telemetry::TraceParent;
use crate::upstream::{GroupLogin, Registries, SetupError, UpstreamError, UpstreamOptions};

/// Handle for upstream requests. A request that was sent runs on after its caller has left; dropping a stream ends its
/// response. Cheap to clone.
#[derive(Clone)]
pub struct UpstreamHandle {
    actor: Addr<UpstreamFetcher>,
    current: Arc<ArcSwap<Current>>,
}

/// Sender of one kind of requests. A trait, so that tests can inject failures.
pub trait Requests<R: UpstreamRequest>: Send + Sync + 'static {
    /// Sends the request, and returns its response. The future and a stream in the response may be polled on any
    /// thread.
    fn request(&self, request: R) -> BoxFuture<'static, Result<R::Response, UpstreamError>>;
}

impl UpstreamHandle {
    /// Starts the actor on this arbiter.
    ///
    /// # Errors
    ///
    /// Fails if an upstream's options cannot be used.
    pub fn start(
        upstreams: Vec<UpstreamOptions>,
        mode: NetworkMode,
        arbiter: &ArbiterHandle,
    ) -> Result<Self, SetupError> {
        let none = Current { registries: Registries::new(Vec::new())?, limits: HashMap::new(), mode };
        let current = Arc::new(ArcSwap::from_pointee(none.changed_to(upstreams, mode)?));
        let of_actor = current.clone();
        let actor = UpstreamFetcher::start_in_arbiter(arbiter, move |_| UpstreamFetcher::new(of_actor));
        Ok(Self { actor, current })
    }

    /// Shares the limits of upstreams with other replicas.
    pub fn share_limits(&self, reports: UpstreamReports) {
        self.actor.do_send(ShareLimits(reports));
    }

    /// Replaces the upstreams and the mode for all later requests; requests under way are not affected. Returns the
    /// names of the upstreams that changed, are new or were removed. Forgets the failures and pauses of all upstreams: a
    /// registry may have asked for a pause that is absurdly long, and the operator who reloads wants to know how it is
    /// now.
    ///
    /// # Errors
    ///
    /// Fails if an upstream's options cannot be used. Then nothing changes.
    pub fn change(&self, upstreams: Vec<UpstreamOptions>, mode: NetworkMode) -> Result<Vec<UpstreamName>, SetupError> {
        let before = self.current.load_full();
        let after = before.changed_to(upstreams, mode)?;
        let mut names = after.registries.differing_from(&before.registries);
        names.extend(before.registries.differing_from(&after.registries));
        names.sort();
        names.dedup();
        let all = after.registries.all().map(|(name, _)| name).chain(&names).cloned().collect();
        self.current.store(Arc::new(after));
        self.actor.do_send(ForgetFailures(all));
        Ok(names)
    }

    /// Replaces the accounts of groups for all later requests, and forgets those that are gone. Connections, backoffs
    /// and limits of upstreams stay.
    pub fn change_group_logins(&self, logins: Vec<GroupLogin>) {
        let gone = self.current.load().registries.replace_group_logins(logins);
        if !gone.is_empty() {
            self.actor.do_send(ForgetAccounts(gone));
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send a valid response, if the limit of concurrent requests is reached for too long
    /// ([`UpstreamError::Busy`]), if upstream has just failed ([`UpstreamError::InBackoff`]), if it is not configured,
    /// or if this service is offline.
    pub async fn send<R: UpstreamRequest>(&self, request: R) -> Result<R::Response, UpstreamError> {
        let (reply, response) = oneshot::channel();
        self.actor.do_send(Dispatch { request, reply, trace: TraceParent::present() });
        response.await.unwrap_or(Err(UpstreamError::Lost))
    }

    /// Returns the times for which a tag of this origin is served, which are longer as upstream's pull limit is nearly
    /// reached.
    pub fn stretched(&self, origin: &Origin, freshness: Freshness) -> Freshness {
        self.budget(origin, |budget| budget.stretched(freshness, Instant::now())).unwrap_or(freshness)
    }

    /// Returns how scarce the pulls are that upstream still allows the account of this origin.
    pub fn scarcity(&self, origin: &Origin) -> Scarcity {
        self.budget(origin, |budget| budget.scarcity(Instant::now())).unwrap_or(Scarcity::Plenty)
    }

    fn budget<T>(&self, origin: &Origin, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.current.load().registries.of(&origin.upstream).ok()?.budget(&origin.account, read)
    }

    /// Returns the states of all accounts at all upstreams, in the order of their names.
    pub async fn states(&self) -> Vec<AccountState> {
        self.actor.send(ListStates).await.unwrap_or_default()
    }

    /// Returns what is under way at each upstream and what waits for it, in the order of their names.
    pub fn queues(&self) -> Vec<UpstreamQueue> {
        let mut queues: Vec<_> = self.current.load().limits.values().map(|limits| limits.queue()).collect();
        queues.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        queues
    }

    /// Reports what the end of a manifest, or of a revalidation, shows about its upstream.
    pub fn report(&self, origin: &Origin, verdict: Verdict) {
        self.actor.do_send(Report { kind: ContentKind::Manifests, origin: origin.clone(), verdict });
    }
}

impl<R: UpstreamRequest> Requests<R> for UpstreamHandle {
    fn request(&self, request: R) -> BoxFuture<'static, Result<R::Response, UpstreamError>> {
        let handle = self.clone();
        async move { handle.send(request).await }.boxed()
    }
}
