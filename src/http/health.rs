//! Liveness and readiness. Both are open to everyone, and show only whether the service is alive or ready;
//! administrators also get its problems.

use std::sync::atomic::Ordering;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::api::problems;
use super::registry::state::RegistryState;

/// Responds to `GET` and `HEAD /healthz`: 200 while the process can respond.
pub(super) async fn alive() -> HttpResponse {
    std::future::ready(HttpResponse::Ok().content_type("text/plain").body("ok\n")).await
}

/// Responds to `GET` and `HEAD /readyz`: 200 while cached content can be served, even if an upstream is down or the
/// disk is full; 503 before the first start is complete, while a replica can reach neither of the engines that it
/// shares with others, and once the service is stopping, with the reason. A request with the API token of an
/// administrator also gets a line for each problem: also for an engine that does not respond while the other one does,
/// and what that means.
pub(super) async fn ready(request: HttpRequest, state: Data<RegistryState>) -> HttpResponse {
    let identities = &state.policy;
    let reason = if state.stopping.load(Ordering::Relaxed) {
        Some("the service is stopping".to_owned())
    } else if !identities.validity().holds() {
        Some(identities.validity().too_old().to_string())
    } else {
        identities.directory().is_empty().then(|| "the first start is not complete".to_owned())
    };
    if let Some(reason) = reason {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body(format!("not ready: {reason}\n"));
    }
    let lines = problems(&request).await.into_iter().map(|problem| format!("{problem}\n"));
    HttpResponse::Ok().content_type("text/plain").body(format!("ok\n{}", lines.collect::<String>()))
}
