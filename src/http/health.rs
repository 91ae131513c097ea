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
/// shares with others, and once the service is stopping. A request with the API token of an administrator also gets a
/// line for each problem.
pub(super) async fn ready(request: HttpRequest, state: Data<RegistryState>) -> HttpResponse {
    let identities = &state.policy;
    let ready =
        identities.validity().holds() && !identities.directory().is_empty() && !state.stopping.load(Ordering::Relaxed);
    if !ready {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body("not ready\n");
    }
    let lines = problems(&request).await.into_iter().map(|problem| format!("{problem}\n"));
    HttpResponse::Ok().content_type("text/plain").body(format!("ok\n{}", lines.collect::<String>()))
}
