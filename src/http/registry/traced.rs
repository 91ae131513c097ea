//! The span of a pull: of each request for a manifest or a blob, until its response begins. It has the group, the image
//! and the cache outcome, and no secret, no name of a person and no address.

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::X_CACHE;
use super::state::RegistryState;
use crate::actors::cache_status::CacheStatus;
use crate::http::refusals::Place;
use crate::telemetry::{RequestId, TraceParent, TraceSpan, traces_are_made};

/// Begins the span of a request, if there are traces and it is a pull.
pub(super) fn begin(request: &HttpRequest) -> Option<TraceSpan> {
    if !traces_are_made() {
        return None;
    }
    let path = request.uri().path();
    let is_pull = [Method::GET, Method::HEAD].contains(request.method());
    let names = [("/manifests/", "pull manifest"), ("/blobs/", "pull blob")];
    let (_, name) = names.into_iter().find(|(part, _)| is_pull && path.contains(part))?;
    TraceSpan::of_request(name, || TraceParent::parse(request.headers().get("traceparent")?.to_str().ok()?))
}

/// Completes the span of a request with its response, and ends it.
pub(super) fn end(mut span: TraceSpan, request: &HttpRequest, state: &RegistryState, response: &HttpResponse) {
    if !span.is_recorded() {
        return;
    }
    let place = Place::of(request, &state.upstreams.load(), &state.policy.directory());
    let (status, path) = (response.status(), request.uri().path());
    span.set("http.request.method", request.method().to_string());
    span.set("http.response.status_code", i64::from(status.as_u16()));
    span.set("dependency_proxy.cache", outcome(response));
    if let Some(group) = place.group {
        span.set("dependency_proxy.group", group);
    }
    if let Some(image) = place.image {
        span.set("dependency_proxy.image", image);
    }
    if status.is_success()
        && let Some(reference) = path.rsplit('/').next()
    {
        span.set("dependency_proxy.reference", reference.to_owned());
    }
    if let Some(id) = RequestId::present() {
        span.set("dependency_proxy.request_id", id.to_string());
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    if let Some(length) = length {
        span.set("http.response.body.size", length);
    }
    if status.is_server_error() {
        span.fail(status.to_string());
    }
}

/// Returns the cache outcome: that of the header `X-Cache`, or `refused` for a caller who may not pull, or `failed`.
fn outcome(response: &HttpResponse) -> &'static str {
    let word = response.headers().get(&X_CACHE).and_then(|value| value.to_str().ok());
    let known = word.and_then(|word| CacheStatus::LABELS.into_iter().find(|label| *label == word));
    match (known, response.status()) {
        (Some(word), _) => word,
        (None, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => "refused",
        (None, _) => "failed",
    }
}
