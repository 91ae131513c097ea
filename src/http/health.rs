//! Liveness and readiness. Both are open to everyone, so the responses contain nothing more.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::registry::state::RegistryState;

/// Responds to `GET` and `HEAD /healthz`: 200 while the process can respond.
pub(super) async fn alive() -> HttpResponse {
    std::future::ready(HttpResponse::Ok().content_type("text/plain").body("ok\n")).await
}

/// Responds to `GET` and `HEAD /readyz`: 200 while cached content can be served, even if an upstream is down or the
/// disk is full; 503 before the first start is complete, and once the service is stopping.
pub(super) async fn ready(state: Data<RegistryState>) -> HttpResponse {
    let ready = !state.policy.directory().is_empty() && !state.stopping.load(Ordering::Relaxed);
    let response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    std::future::ready({ response }.content_type("text/plain").body(if ready { "ok\n" } else { "not ready\n" })).await
}
