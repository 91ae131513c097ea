//! Logging of refusals: one line with the id that the client got, and a count by reason; and sums for the audit trail.
//! The line is written when the response exists, so that successful requests do no work for it.

mod audited;
mod early;
mod line;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::USER_AGENT;
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest};

pub(crate) use self::early::{EXAMINED_BYTES, EarlyFault, EarlyRefusals};
use self::line::Line;
use super::refusals::{Place, Reason, Refused, Subject};
use super::registry::state::RegistryState;
use crate::telemetry::RequestId;

/// Counts and logs a response, if it is a refusal.
pub(super) fn trace(response: &ServiceResponse<impl MessageBody>, id: RequestId) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    let extensions = response.response().extensions();
    let refused = extensions.get::<Refused>();
    // What upstream refuses has any 4xx status, and a guess is traced whatever its status is.
    let is_traced = |refused: &Refused| refused.warns || refused.reason == Reason::WrongSecret;
    if !leaves_trace(status) && !refused.is_some_and(is_traced) {
        return;
    }
    let _entered = id.enter();
    let unnamed = || Refused::new(Reason::Other, status.canonical_reason().unwrap_or_default().to_owned());
    match refused {
        Some(refused) => record(response.request(), status, refused),
        None => record(response.request(), status, &unnamed()),
    }
}

fn leaves_trace(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 404 | 405 | 408 | 413 | 429)
}

fn record(request: &HttpRequest, status: StatusCode, refused: &Refused) {
    count(refused);
    let Some(state) = request.app_data::<Data<RegistryState>>() else { return };
    let address = state.public_url.client(request);
    let directory = state.policy.directory();
    let subject = Subject::of(request, &directory, &state.tokens);
    audited::note(state, request, address, (&subject, refused));
    let Some(left_out) = state.refusals.admit(address, &subject, refused) else { return };
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    Line {
        method: Some(request.method().as_str()),
        path: Some(request.path()),
        status,
        refused,
        subject: &subject.with_deploy_token(&directory),
        place: &Place::of(request, &state.upstreams.load(), &directory),
        pull: request.extensions().get().copied(),
        address,
        user_agent,
        left_out,
    }
    .write();
}

fn count(refused: &Refused) {
    metrics::counter!("dependency_proxy_refusals_total", "reason" => refused.reason.label()).increment(1);
}
