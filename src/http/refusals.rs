//! Logging of refusals: one line with the id that the client got, and a count by reason. The line is written when
//! the response exists, so that successful requests do no work for it.

mod allowance;
mod reason;
mod subject;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::USER_AGENT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use self::allowance::{Admission, Allowances, Source};
pub(super) use self::reason::WRONG_SECRET;
pub(super) use self::subject::Subject;
use super::registry::state::RegistryState;
use crate::auth::secret::redacted;
use crate::domain::image_path::split_at_word;
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

/// The decision which refusals are written to the log. Shared by all threads; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Allowances>>);

const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Longest text that is logged from a request, in characters.
const MAX_TEXT_CHARS: usize = 200;

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
    let extensions = response.response().extensions();
    // A guess leaves a trace whatever its status is.
    let is_guess = |refused: &Refused| refused.reason == WRONG_SECRET;
    if !leaves_trace(status) && !(status.is_client_error() && extensions.get().is_some_and(is_guess)) {
        return;
    }
    let _entered = id.enter();
    let unnamed = || Refused::new("other", status.canonical_reason().unwrap_or_default().to_owned());
    match extensions.get::<Refused>() {
        Some(refused) => record(response.request(), status, refused),
        None => record(response.request(), status, &unnamed()),
    }
}

fn leaves_trace(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 404 | 405 | 429)
}

fn record(request: &HttpRequest, status: StatusCode, refused: &Refused) {
    metrics::counter!("dependency_proxy_refusals_total", "reason" => refused.reason).increment(1);
    let Some(state) = request.app_data::<Data<RegistryState>>() else { return };
    let address = state.public_url.client(request);
    let subject = Subject::of(request, state);
    let source = Source::new(address, subject.without_unknown_name(), refused.reason);
    let Admission::Written { left_out } = state.refusals.admit(source) else { return };
    let subject = subject.with_deploy_token(&state.policy.directory());
    write(request, status, refused, &subject, address, left_out);
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

fn write(
    request: &HttpRequest,
    status: StatusCode,
    refused: &Refused,
    subject: &Subject,
    address: IpAddr,
    left_out: u64,
) {
    let path_subject = PathSubject::of(request.path());
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).map(shown);
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                method = request.method().as_str(),
                path = &*shown(request.path()),
                status = status.as_u16(),
                reason = refused.reason,
                sentence = &*redacted(&refused.sentence),
                details = refused.details,
                principal = subject.principal,
                principal_name = subject.principal_name,
                credential = subject.credential.map(tracing::field::display),
                credential_name = subject.credential_name,
                token = subject.token.map(|token| token.0),
                group = path_subject.group.as_deref(),
                image = path_subject.image.as_deref(),
                address = %address,
                user_agent = user_agent.as_deref(),
                left_out = (left_out > 0).then_some(left_out),
                $message
            )
        };
    }
    if status.is_server_error() || refused.warns {
        line!(warn, "a request failed");
    } else {
        line!(info, "a request was refused");
    }
}

/// The group and the image that a path names, for the log. The path may be malformed.
struct PathSubject<'a> {
    group: Option<Cow<'a, str>>,
    image: Option<Cow<'a, str>>,
}

impl<'a> PathSubject<'a> {
    fn of(path: &'a str) -> Self {
        const PROXY: &str = "/dependency_proxy/containers/";
        let registry = path.strip_prefix("/v2/").and_then(|path| path.split_once(PROXY));
        if let Some((group, rest)) = registry {
            // The image's own name may contain such a word: the last one in the path separates it.
            let image = split_at_word(rest).map_or(rest, |(image, ..)| image);
            return Self { group: Some(shown(group)), image: Some(shown(image)) };
        }
        let group = path.strip_prefix("/api/v4/groups/").and_then(|rest| rest.split('/').next());
        Self { group: group.map(shown), image: None }
    }
}

/// Returns the beginning of a text that a client chose, with tokens redacted. Redaction comes before the cut, which
/// could otherwise leave a part of a token that is no longer recognized.
fn shown(text: &str) -> Cow<'_, str> {
    let mut text = redacted(text);
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_token_is_shown_wherever_a_long_text_is_cut() {
        let token = format!("dpd-{}", "a".repeat(50));
        for before in 140..=200 {
            let text = format!("/{} {token} {}", "x".repeat(before), "y".repeat(100));
            assert!(!shown(&text).contains("dpd-a"), "{before}");
            assert!(shown(&text).chars().count() <= MAX_TEXT_CHARS);
        }
    }
}
