//! Errors of the registry's routes: the only place that maps them to status, code and sentence (OCI distribution
//! specification, "Error Codes"). The REST API has errors of its own.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::state::RegistryState;
use crate::actors::pull_failure::{Cause, ConnectionFailure, PullFailure};
use crate::actors::token_issuer::IssueError;
use crate::auth::login::BearerError;
use crate::domain::byte_range::{MAX_RANGES, RangeError};
use crate::domain::image_path::{ImagePathError, Target};
use crate::domain::list_query::ListQueryError;
use crate::domain::policy::{PullDenial, Refusal};
use crate::domain::reference::ReferenceError;
use crate::http::refusals::Refused;
use crate::telemetry::RequestId;

/// Failure of a request to the registry's routes.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum RegistryError {
    /// No credential was presented.
    #[error("Log in first")]
    LoginNeeded,
    /// The credential that was presented is not valid, or no longer. The client should request a new token.
    #[error("The token presented is not valid here, or no longer. Log in again")]
    BadBearer(
        /// The reason, if it was a token of this service.
        Option<BearerError>,
    ),
    /// The proxy as a whole is switched off.
    #[error("The dependency proxy is switched off here. An administrator can switch it on")]
    ProxyOff,
    /// The credential is known, and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No token was issued.
    #[error("{error}")]
    NotIssued {
        /// The reason.
        error: IssueError,
        /// True if the client wants to pull. A 401 would then make newer docker clients prompt for a login, and
        /// hang.
        to_pull: bool,
    },
    /// A token for another service was requested.
    #[error("There is no service '{0}' here. Log in to this host again")]
    UnknownService(String),
    /// A grant type that the token endpoint does not support.
    #[error("Only grant_type=password is supported")]
    UnsupportedGrant,
    /// A method that the token endpoint does not support.
    #[error("Ask for a token with GET and HTTP Basic, or POST a form with grant_type=password")]
    NoSuchLogin,
    /// The form sent to the token endpoint is larger than any login.
    #[error("The form is larger than any login needs")]
    FormTooLarge,
    /// The form sent to the token endpoint ends early or is malformed.
    #[error("The form is incomplete or malformed. Log in again")]
    FormBroken,
    /// The form sent to the token endpoint did not arrive in time.
    #[error("The form did not arrive in time. Log in again")]
    FormTooSlow,
    /// The path is malformed, or is no route.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// The query of a list cannot be passed on.
    #[error(transparent)]
    ListQuery(#[from] ListQueryError),
    /// The caller may not pull through this group, or it does not exist.
    #[error(transparent)]
    Denied(#[from] PullDenial),
    /// Neither upstream nor the cache could provide the content.
    #[error("{failure}")]
    Failed {
        /// The failure, with its cause.
        failure: Box<PullFailure>,
        /// The content that was requested.
        target: Target,
    },
    /// The request would change something.
    #[error("This is a read-only cache. Push to the registry itself")]
    ReadOnly,
    /// The `Range` header is malformed.
    #[error("The range is malformed; one of this form is bytes=0-99")]
    MalformedRange,
    /// More ranges than one response may have.
    #[error("More than {MAX_RANGES} ranges in one request. Ask for fewer and larger ones")]
    TooManyRanges,
    /// The range begins after the end of the content.
    #[error("The range begins beyond the end: there are {length} bytes")]
    Unsatisfiable {
        /// The length of the content in bytes.
        length: u64,
    },
}

/// An error as a response: its status, code and headers.
struct Answer {
    status: StatusCode,
    code: &'static str,
    /// Upstream's own code, if its refusal is passed on.
    passed_code: Option<String>,
    /// The HTTP reason phrase. Docker, podman and ctr show nothing else of a 5xx.
    reason: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl RegistryError {
    /// Returns the response to this request.
    pub(in crate::http) fn respond(&self, state: &RegistryState, request: &HttpRequest) -> HttpResponse {
        let answer = self.answer();
        let mut response = HttpResponse::build(answer.status);
        if answer.status == StatusCode::UNAUTHORIZED && !matches!(self, Self::NotIssued { .. }) {
            response.insert_header((WWW_AUTHENTICATE, self.challenge(state, request)));
        }
        if let Some(wait) = answer.retry_after {
            response.insert_header((RETRY_AFTER, wait.as_secs().max(1)));
        }
        if let Some(reason) = answer.reason {
            response.reason(reason);
        }
        // The rest of the body is not read.
        if matches!(self, Self::FormTooLarge | Self::FormTooSlow | Self::FormBroken) {
            response.force_close();
        }
        if let Some(methods) = self.allowed_methods() {
            response.insert_header((ALLOW, methods));
        }
        if let Self::Unsatisfiable { length } = self {
            response.insert_header((CONTENT_RANGE, format!("bytes */{length}")));
        }
        let message = self.message(answer.status, &state.public_url.host(request));
        let code = answer.passed_code.as_deref().unwrap_or(answer.code);
        let body = error_body(code, &message);
        let mut response = response.insert_header(("docker-distribution-api-version", "registry/2.0")).json(body);
        self.refused(message).attach(&mut response);
        response
    }

    /// Returns the data of this refusal for the log.
    fn refused(&self, sentence: String) -> Refused {
        let mut refused = Refused::new(self.reason(), sentence);
        if let Self::Failed { failure, .. } = self {
            refused.details = failure.cause.details().map(str::to_owned);
            refused.warns = matches!(failure.cause, Cause::Refused { .. } | Cause::Unusable { .. });
        } else if let Self::BadBearer(Some(error)) = self {
            refused.details = Some(error.to_string());
        }
        refused
    }

    fn message(&self, status: StatusCode, host: &str) -> String {
        let message = if let Self::Path(ImagePathError::NotAProxyPath { image }) = self {
            format!("This is a pull-through cache. Pull {host}/<group>/dependency_proxy/containers/{image}")
        } else {
            self.to_string()
        };
        let with_id = status == StatusCode::FORBIDDEN || status.is_server_error();
        match RequestId::present().filter(|_| with_id) {
            Some(id) => format!("{message} [{id}]"),
            None => message,
        }
    }

    /// Returns the value of `Allow`, which a 405 must have (RFC 9110, section 15.5.6).
    fn allowed_methods(&self) -> Option<&'static str> {
        if matches!(self, Self::ReadOnly) {
            return Some("GET, HEAD");
        }
        matches!(self, Self::NoSuchLogin).then_some("GET, POST")
    }

    /// Returns the value of `WWW-Authenticate` (RFC 6750, section 3). It has no scope, because tokens are not
    /// limited to one.
    fn challenge(&self, state: &RegistryState, request: &HttpRequest) -> String {
        let (base, service) = (state.public_url.base(request), &state.options.service);
        let error = if matches!(self, Self::BadBearer(_)) { ",error=\"invalid_token\"" } else { "" };
        format!("Bearer realm=\"{base}/jwt/auth\",service=\"{service}\"{error}")
    }

    fn answer(&self) -> Answer {
        match self {
            Self::LoginNeeded | Self::BadBearer(_) => Answer::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::ProxyOff | Self::Denied(_) => Answer::new(StatusCode::FORBIDDEN, "DENIED"),
            Self::Refused(refusal) if refusal.is_wrong_secret() => {
                Answer::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
            }
            Self::Refused(_) => Answer::new(StatusCode::FORBIDDEN, "DENIED"),
            Self::NotIssued { error, to_pull } => not_issued(error, *to_pull),
            Self::UnknownService(_) => Answer::new(StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::UnsupportedGrant | Self::FormBroken | Self::ListQuery(_) => {
                Answer::new(StatusCode::BAD_REQUEST, "UNSUPPORTED")
            }
            Self::Path(error) => path(error),
            Self::Failed { failure, target } => failed(failure, target),
            Self::ReadOnly | Self::NoSuchLogin => Answer::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::FormTooLarge => Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "UNSUPPORTED"),
            Self::FormTooSlow => Answer::new(StatusCode::REQUEST_TIMEOUT, "UNSUPPORTED"),
            // Not 416: podman and the stargz snapshotter request fewer ranges after a 400, but give up after a 416.
            Self::MalformedRange | Self::TooManyRanges => Answer::new(StatusCode::BAD_REQUEST, "RANGE_INVALID"),
            Self::Unsatisfiable { .. } => Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
        }
    }
}

impl From<RangeError> for RegistryError {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::Malformed => Self::MalformedRange,
            RangeError::TooMany => Self::TooManyRanges,
        }
    }
}

/// Returns the body of an error (OCI distribution specification, "Error Codes").
pub(in crate::http) fn error_body(code: &str, message: &str) -> Value {
    json!({"errors": [{"code": code, "message": message, "detail": null}]})
}

fn not_issued(error: &IssueError, to_pull: bool) -> Answer {
    match error {
        IssueError::Refused(refusal) if refusal.is_wrong_secret() && !to_pull => {
            Answer::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
        }
        IssueError::Refused(_) | IssueError::NoCredentials => Answer::new(StatusCode::FORBIDDEN, "DENIED"),
        IssueError::TooManyFailures(wait) => {
            let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
            Answer { retry_after: Some(*wait + Duration::from_secs(1)), ..answer }
        }
        IssueError::Busy => Answer::unavailable("Too many logins at once - try again", Some(Duration::from_secs(2))),
        IssueError::Signing => Answer::unavailable("Internal fault: the log of this service has more", None),
    }
}

fn path(error: &ImagePathError) -> Answer {
    match error {
        ImagePathError::NotAProxyPath { .. } | ImagePathError::UnknownUpstream { .. } => {
            Answer::new(StatusCode::FORBIDDEN, "DENIED")
        }
        ImagePathError::UnknownNamespace { .. } => Answer::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        ImagePathError::Group(_) | ImagePathError::Name(_) => Answer::new(StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ImagePathError::Reference(ReferenceError::Tag) => Answer::new(StatusCode::BAD_REQUEST, "TAG_INVALID"),
        ImagePathError::Reference(ReferenceError::Digest(_)) | ImagePathError::Digest(_) => {
            Answer::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID")
        }
        ImagePathError::NoSuchRoute => Answer::new(StatusCode::NOT_FOUND, "UNSUPPORTED"),
    }
}

fn failed(failure: &PullFailure, target: &Target) -> Answer {
    let unavailable = |reason| Answer::unavailable(reason, Some(failure.retry_after()));
    match &failure.cause {
        Cause::NotFound => Answer::new(StatusCode::NOT_FOUND, unknown(target)),
        Cause::NoRepository => Answer::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        Cause::Denied { .. } => Answer::new(StatusCode::FORBIDDEN, "DENIED"),
        Cause::Refused { status, code, .. } => Answer {
            passed_code: code.clone(),
            ..Answer::new(StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN), "UNSUPPORTED")
        },
        // Clients show the sentence of a 403, but not that of most other statuses.
        Cause::Unusable { .. } => Answer::new(StatusCode::FORBIDDEN, "MANIFEST_INVALID"),
        Cause::RateLimited { .. } => {
            unavailable("Pull limit of the upstream registry is reached and this is not cached here yet")
        }
        Cause::AccountRefused => {
            unavailable("Upstream registry refuses the configured credentials and this is not cached here yet")
        }
        Cause::AccountGraceOver => {
            unavailable("Upstream registry refuses the configured credentials for longer than cached tags are served")
        }
        Cause::AccountUntrusted { .. } => {
            unavailable("Upstream registry wants the credentials at a host that is not listed for them")
        }
        Cause::RealmFailed { .. } => {
            unavailable("Token realm of the upstream registry is out of order and this is not cached here yet")
        }
        Cause::Unreachable { failure, .. } => unavailable(unreachable(*failure)),
        Cause::TimedOut => unavailable("Upstream registry did not respond in time and this is not cached here yet"),
        Cause::ServerError { .. } => unavailable("Upstream registry is out of order and this is not cached here yet"),
        Cause::Interrupted { .. } => {
            unavailable("Upstream registry broke off in the middle and this is not cached here yet")
        }
        Cause::InvalidResponse { .. } => {
            unavailable("Upstream registry gave a wrong response and this is not cached here yet")
        }
        Cause::ForbiddenAddress { .. } => unavailable("Upstream registry leads to an address that is not allowed"),
        Cause::Busy => unavailable("Too many pulls at once - try again"),
        Cause::NoMemory => unavailable("Too many large manifests at once - try again"),
        Cause::Store => unavailable("The cache could not be read or written"),
        Cause::Internal => unavailable("Internal fault: the log of this service has more"),
    }
}

fn unreachable(failure: ConnectionFailure) -> &'static str {
    match failure {
        ConnectionFailure::NameResolution => {
            "Name of the upstream registry cannot be resolved and this is not cached here yet"
        }
        ConnectionFailure::Refused => "Upstream registry refuses connections and this is not cached here yet",
        ConnectionFailure::Tls => "TLS to the upstream registry failed and this is not cached here yet",
        ConnectionFailure::Closed => "Upstream registry closed the connection and this is not cached here yet",
        ConnectionFailure::InvalidHttp => "Upstream registry does not speak HTTP and this is not cached here yet",
        ConnectionFailure::TimedOut => "Upstream registry did not respond in time and this is not cached here yet",
        ConnectionFailure::Proxy => "HTTP proxy to the upstream registry failed and this is not cached here yet",
        ConnectionFailure::Network => "Upstream registry cannot be reached and this is not cached here yet",
    }
}

fn unknown(target: &Target) -> &'static str {
    match target {
        Target::Manifest(_) => "MANIFEST_UNKNOWN",
        Target::Blob(_) => "BLOB_UNKNOWN",
        Target::Tags => "NAME_UNKNOWN",
        // With NAME_UNKNOWN, clients would not look for the referrers tag instead.
        Target::Referrers(_) => "UNSUPPORTED",
    }
}

impl Answer {
    fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, passed_code: None, reason: None, retry_after: None }
    }

    fn unavailable(reason: &'static str, retry_after: Option<Duration>) -> Self {
        let answer = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
        Self { reason: Some(reason), retry_after, ..answer }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::actors::pull_failure::{CountsAgainst, Peer};
    use crate::domain::origin::{Account, Origin};

    fn failure(cause: Cause) -> PullFailure {
        let origin = Origin {
            upstream: "up.test".parse().unwrap(),
            account: Account::Username("robot".to_owned()),
            repository: "acme/app".parse().unwrap(),
        };
        PullFailure { origin, image: "acme/app:1".to_owned(), cause }
    }

    /// The table in `actors::failure`: each cause with its status, what it counts against, and its sentence.
    #[test]
    fn every_cause_has_its_status_its_sentence_and_what_it_counts_against() {
        use CountsAgainst::{Account, NotUpstream, Nothing, Repository, RepositoryThenUpstream, Upstream};
        let unreachable =
            |failure| Cause::Unreachable { peer: Peer::Registry, failure, reason: "for the log".to_owned() };
        let (closed, reason) = (ConnectionFailure::Closed, String::new());
        let redirect =
            Cause::Unreachable { peer: Peer::Redirect("h.test".to_owned()), failure: closed, reason: reason.clone() };
        let realm = Cause::Unreachable { peer: Peer::TokenRealm("h.test".to_owned()), failure: closed, reason };
        let said = || Some("so it is".to_owned());
        let rows = [
            (Cause::NotFound, 404, Nothing, "up.test has no acme/app:1"),
            (Cause::NoRepository, 404, Nothing, "up.test has no 'acme/app', or it is private (asked as robot)"),
            (
                Cause::Denied { message: said() },
                403,
                Nothing,
                "up.test has no 'acme/app', or it is private (asked as robot): \"so it is\"",
            ),
            (
                Cause::Refused { status: 451, code: None, message: said() },
                451,
                Nothing,
                "up.test refuses acme/app:1 with HTTP status 451: \"so it is\"",
            ),
            (Cause::Unusable { problem: "as X".to_owned() }, 403, Nothing, "up.test has acme/app:1 as X"),
            (
                Cause::RateLimited { limit: None, retry_after: None },
                503,
                Account,
                "up.test's pull limit is reached and acme/app:1 is not cached here yet",
            ),
            (
                Cause::AccountRefused,
                503,
                Account,
                "The login of account 'robot' is refused by up.test and acme/app:1 is not cached here yet",
            ),
            (
                Cause::AccountGraceOver,
                503,
                Account,
                "The login of account 'robot' is refused by up.test, and it was last accepted for acme/app:1 longer ago than \
                 cache.account_grace",
            ),
            (
                Cause::AccountUntrusted { host: "h.test".to_owned() },
                503,
                Account,
                "up.test wants the login of account 'robot' at h.test, which is not in its auth_hosts, and acme/app:1 is \
                 not cached here yet",
            ),
            (
                unreachable(ConnectionFailure::NameResolution),
                503,
                Upstream,
                "up.test cannot be reached (its name cannot be resolved) and acme/app:1 is not cached here yet",
            ),
            (
                unreachable(ConnectionFailure::Refused),
                503,
                Upstream,
                "up.test cannot be reached (it refused the connection) and acme/app:1 is not cached here yet",
            ),
            (
                unreachable(ConnectionFailure::Tls),
                503,
                Upstream,
                "up.test cannot be reached (TLS failed) and acme/app:1 is not cached here yet",
            ),
            (
                redirect,
                503,
                RepositoryThenUpstream,
                "up.test cannot be reached (h.test, to which it redirects: it closed the connection before it responded) \
                 and acme/app:1 is not cached here yet",
            ),
            (
                realm,
                503,
                Upstream,
                "up.test cannot be reached (its token realm h.test: it closed the connection before it responded) and \
                 acme/app:1 is not cached here yet",
            ),
            (
                Cause::RealmFailed { status: 404, message: None },
                503,
                Account,
                "up.test's token realm is out of order (HTTP status 404) and acme/app:1 is not cached here yet",
            ),
            (
                Cause::TimedOut,
                503,
                Upstream,
                "up.test cannot be reached (it did not respond in time) and acme/app:1 is not cached here yet",
            ),
            (
                Cause::ServerError { status: 500, message: None },
                503,
                RepositoryThenUpstream,
                "up.test is out of order (HTTP status 500) and acme/app:1 is not cached here yet",
            ),
            (
                Cause::Interrupted { reason: String::new() },
                503,
                Repository,
                "up.test broke off in the middle of its response and acme/app:1 is not cached here yet",
            ),
            (
                Cause::InvalidResponse { what: "a page".to_owned() },
                503,
                Repository,
                "up.test sent an invalid response (a page) and acme/app:1 is not cached here yet",
            ),
            (
                Cause::ForbiddenAddress { host: String::new() },
                503,
                Repository,
                "up.test leads to an address that is neither public nor listed for it and acme/app:1 is not cached here yet",
            ),
            (
                Cause::Busy,
                503,
                NotUpstream,
                "Too many pulls at once for acme/app:1 to be fetched from up.test now. Try again",
            ),
            (
                Cause::NoMemory,
                503,
                NotUpstream,
                "The memory for acme/app:1 is taken by large manifests and lists on their way to other clients. Try again",
            ),
            (Cause::Store, 503, NotUpstream, "acme/app:1 could not be read or stored here"),
            (Cause::Internal, 503, NotUpstream, "acme/app:1 could not be fetched because of a fault of this service"),
        ];
        for (cause, status, against, sentence) in rows {
            let failure = failure(cause);
            let answer = failed(&failure, &Target::Tags);
            assert_eq!(answer.status.as_u16(), status, "{failure}");
            assert_eq!(answer.reason.is_some(), status == 503, "clients show nothing but the reason phrase of a 5xx");
            assert_eq!(failure.cause.counts_against(), against, "{failure}");
            assert_eq!(failure.to_string(), sentence);
        }
    }
}
