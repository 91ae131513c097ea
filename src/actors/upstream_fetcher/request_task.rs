//! The tasks in which requests run, at the mirrors or at upstream's own registry: each request waits for a permit and
//! is sent within its time, and again while upstream's limit is reached and the request may wait for it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::time::timeout;

use super::gates::Gate;
use super::limits::UpstreamLimits;
use super::messages::{DispatchOwn, Reply, Times};
use super::request::UpstreamRequest;
use super::traced::{self, Traced};
use crate::telemetry::TraceParent;
use crate::upstream::{Registry, UpstreamError};

/// Limits, client and gate for an admitted request, and the times that it has taken at mirrors.
pub(super) struct Admitted {
    pub(super) limits: Arc<UpstreamLimits>,
    pub(super) registry: Arc<Registry>,
    pub(super) gate: Gate,
    pub(super) times: Times,
    pub(super) trace: Option<TraceParent>,
}

/// Sends a request to the mirrors, and leaves it to upstream's own registry if none delivers.
pub(super) async fn run_at_mirrors<R: UpstreamRequest>(
    request: R,
    limits: Arc<UpstreamLimits>,
    mirrors: Registry,
    (mut reply, trace): (Reply<R>, Option<TraceParent>),
    fetcher: Recipient<DispatchOwn<R>>,
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
pub(super) async fn run<R: UpstreamRequest>(
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
            Err(error) => return Some(Err(UpstreamError::InBackoff(Box::new(error)))),
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
