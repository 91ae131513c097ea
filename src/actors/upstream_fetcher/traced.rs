//! The span of a request to a registry, or to its mirrors: from its permit until the response begins. Redirects and
//! requests for tokens are parts of it. The registry belongs to others and must learn nothing about who pulls, so it
//! gets no `traceparent`.

use super::request::UpstreamRequest;
use crate::telemetry::{TraceParent, TraceSpan};
use crate::upstream::{HttpFailure, UpstreamError};

/// Properties of a request that its span gets before it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traced {
    /// The span of the pull.
    pub(super) parent: Option<TraceParent>,
    /// True if mirrors are requested.
    pub(super) is_mirror: bool,
    /// Number of times that it was sent before.
    pub(super) repeats: u32,
}

impl Traced {
    /// Begins the span; `None` if there is no trace.
    pub(super) fn begin<R: UpstreamRequest>(self, request: &R) -> Option<TraceSpan> {
        let mut span = TraceSpan::of_upstream(R::NAME, self.parent)?;
        span.set("dependency_proxy.upstream", request.origin().upstream.to_string());
        span.set("dependency_proxy.repository", request.origin().repository.to_string());
        span.set("dependency_proxy.mirror", self.is_mirror);
        if self.repeats > 0 {
            span.set("http.request.resend_count", i64::from(self.repeats));
        }
        Some(span)
    }
}

/// Completes the span with the outcome of the request, and ends it.
pub(super) fn end<R: UpstreamRequest>(mut span: TraceSpan, outcome: &Result<R::Response, UpstreamError>) {
    match outcome {
        Ok(response) => {
            if let Some(length) = R::length(response).and_then(|length| i64::try_from(length).ok()) {
                span.set("http.response.body.size", length);
            }
        }
        Err(error) => {
            if let Some(status) = status(error) {
                span.set("http.response.status_code", i64::from(status));
            }
            span.fail(error.to_string());
        }
    }
}

/// Returns the status of the response, if the error has it.
fn status(error: &UpstreamError) -> Option<u16> {
    if let UpstreamError::Refused(HttpFailure { status, .. })
    | UpstreamError::ServerError(HttpFailure { status, .. })
    | UpstreamError::Storage { status } = error
    {
        return Some(*status);
    }
    let missing = matches!(error, UpstreamError::NotFound).then_some(404);
    missing.or_else(|| matches!(error, UpstreamError::RateLimited(_)).then_some(429))
}
