//! The messages of the actor.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::request::{ContentKind, UpstreamRequest, Verdict};
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;
use crate::telemetry::TraceParent;
use crate::upstream::UpstreamError;

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
pub(super) struct DispatchOwn<R: UpstreamRequest> {
    pub(super) request: R,
    pub(super) reply: Reply<R>,
    pub(super) times: Times,
    pub(super) trace: Option<TraceParent>,
    /// Response to the caller if upstream's own registry fails, too.
    pub(super) inconclusive: Option<R::Response>,
}

/// Reports what the end of a request shows about its upstream.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Report {
    pub(super) kind: ContentKind,
    pub(super) origin: Origin,
    pub(super) verdict: Verdict,
}

/// Forgets the failures and pauses of these upstreams.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetFailures(pub(super) Vec<UpstreamName>);

/// Forgets what is known about these accounts of groups, which do not exist any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ForgetAccounts(pub(super) Vec<(UpstreamName, Account)>);

/// Sender of the outcome of a request to its caller.
pub(super) type Reply<R> = oneshot::Sender<Result<<R as UpstreamRequest>::Response, UpstreamError>>;

/// Times that a request has taken so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    /// For a permit.
    pub(super) waited: Duration,
    /// With a permit.
    pub(super) sent: Duration,
}
