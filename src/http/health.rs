//! Whether the service is alive and ready. Strangers learn no more than that.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::state::RegistryState;

/// `GET` and `HEAD /healthz`: 200 while the process answers.
pub(super) async fn alive() -> HttpResponse {
    std::future::ready(HttpResponse::Ok().content_type("text/plain").body("ok\n")).await
}

/// `GET` and `HEAD /readyz`: 200 while pulls of what is cached can be answered, also while an upstream is down or the disk is full;
/// not once the service was told to stop.
pub(super) async fn ready(state: Data<RegistryState>) -> HttpResponse {
    let ready = !state.policy.directory().is_empty() && !state.stopping.load(Ordering::Relaxed);
    let response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    std::future::ready({ response }.content_type("text/plain").body(if ready { "ok\n" } else { "not ready\n" })).await
}
