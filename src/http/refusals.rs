//! Logging of refusals: one line with the id that the client got, and a count by reason; and sums for the audit trail.
//! The line is written when the response exists, so that successful requests do no work for it.

mod allowance;
mod audited;
mod early;
mod line;
mod place;
mod reason;
mod subject;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::USER_AGENT;
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use self::allowance::{Admission, Allowances, Source};
pub(crate) use self::early::{EXAMINED_BYTES, EarlyFault, EarlyRefusals};
use self::line::Line;
pub(super) use self::place::{Place, RequestedRepositories};
pub(super) use self::reason::WRONG_SECRET;
pub(super) use self::subject::Subject;
use super::registry::state::RegistryState;
use crate::telemetry::RequestId;

/// A refusal and its reason, as an extension of the response.
#[derive(Debug)]
pub(super) struct Refused {
    /// The label under which it is counted: one of a few fixed words.
    pub(super) reason: &'static str,
    /// The sentence in the response.
    pub(super) sentence: String,
    /// Details for the operator, which the response does not contain.
    pub(super) details: Option<String>,
    /// True where the operator has to see it although it is no fault of this service.
    pub(super) warns: bool,
}

/// Figures of a pull of a manifest that failed, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedPull {
    /// Number of upstream requests that the pull caused.
    pub(super) upstream_calls: u32,
    /// Time that it took, in milliseconds.
    pub(super) ms: u64,
}

/// The limits that decide which refusals are written to the log. Shared by all threads; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Allowances>>);

const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl Refused {
    /// Creates a refusal with this reason and this sentence for the client.
    pub(super) fn new(reason: &'static str, sentence: String) -> Self {
        Self { reason, sentence, details: None, warns: false }
    }

    /// Attaches it to the response, for [`trace`].
    pub(super) fn attach(self, response: &mut HttpResponse) {
        response.extensions_mut().insert(self);
    }
}

/// Counts and logs a response, if it is a refusal.
pub(super) fn trace(response: &ServiceResponse<impl MessageBody>, id: RequestId) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    let extensions = response.response().extensions();
    let refused = extensions.get::<Refused>();
    // What upstream refuses has any 4xx status, and a guess is traced whatever its status is.
    let is_traced = |refused: &Refused| refused.warns || refused.reason == WRONG_SECRET;
    if !leaves_trace(status) && !refused.is_some_and(is_traced) {
        return;
    }
    let _entered = id.enter();
    let unnamed = || Refused::new("other", status.canonical_reason().unwrap_or_default().to_owned());
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
    let subject = Subject::of(request, state);
    audited::note(state, request, address, (&subject, refused));
    let Some(left_out) = admit(state, address, &subject, refused) else { return };
    let directory = state.policy.directory();
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
    metrics::counter!("dependency_proxy_refusals_total", "reason" => refused.reason).increment(1);
}

/// Returns the number of earlier lines of the same source that were left out if a refusal gets a line, and `None` if it
/// is counted only.
fn admit(state: &RegistryState, address: IpAddr, subject: &Subject, refused: &Refused) -> Option<u64> {
    let source = Source::new(address, subject.without_unknown_name(), refused.reason);
    match state.refusals.admit(source) {
        Admission::Written { left_out } => Some(left_out),
        Admission::LeftOut => None,
    }
}

impl Refusals {
    /// Logs every minute the number of lines that were left out. Never returns.
    pub(crate) async fn keep_reporting(self) {
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            self.report(false);
        }
    }

    /// Logs the number of lines that each source had left out, once its minute has ended; with `all`, for every
    /// source at once.
    pub(crate) fn report(&self, all: bool) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).ended(Instant::now(), all);
        for (source, left_out) in ended {
            source.write_left_out(left_out);
        }
    }

    fn admit(&self, source: Source) -> Admission {
        let mut allowances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        allowances.admit(source, Instant::now())
    }
}
