//! Errors of the registry's routes: the only place that maps them to status, code and sentence (OCI distribution
//! specification, "Error Codes"). The REST API has errors of its own.

mod reason;
mod response;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::state::RegistryState;
use crate::actors::policy_evaluator::{NotConfirmed, TooOld};
use crate::actors::pull_failure::{Cause, PullFailure, Reader};
use crate::actors::token_issuer::IssueError;
use crate::auth::login::BearerError;
use crate::domain::byte_range::{MAX_RANGES, RangeError};
use crate::domain::deadlines;
use crate::domain::image_path::{ImagePathError, Target};
use crate::domain::list_query::ListQueryError;
use crate::domain::policy::{PullDenial, Refusal};
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
    /// This replica does not know whether the identities are as they were.
    #[error("{0}")]
    TooOld(#[from] TooOld),
    /// The refusal follows from a change without which another replica may still decide.
    #[error("{0}")]
    NotConfirmed(NotConfirmed),
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
    #[error("Request a token with GET and HTTP Basic, or POST a form with grant_type=password")]
    NoSuchLogin,
    /// The form sent to the token endpoint is larger than any login.
    #[error("The form is larger than any login needs")]
    FormTooLarge,
    /// The form sent to the token endpoint ends early or is malformed.
    #[error("The form is incomplete or malformed. Log in again")]
    FormBroken,
    /// The form sent to the token endpoint is compressed.
    #[error("The form has a Content-Encoding, which is not accepted. Send it as it is")]
    FormEncoded,
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
    #[error("{}", failure.sentence_for(*reader))]
    Failed {
        /// The failure, with its cause.
        failure: Box<PullFailure>,
        /// The content that was requested.
        target: Target,
        /// The caller.
        reader: Reader,
    },
    /// The request would change something.
    #[error("This is a read-only cache. Push to the registry itself")]
    ReadOnly,
    /// The `Range` header is malformed.
    #[error("The range is malformed; one of this form is bytes=0-99")]
    MalformedRange,
    /// More ranges than one response may have.
    #[error("More than {MAX_RANGES} ranges in one request. Request fewer and larger ones")]
    TooManyRanges,
    /// The range begins after the end of the content.
    #[error("The range begins beyond the end: there are {length} bytes")]
    Unsatisfiable {
        /// The length of the content in bytes.
        length: u64,
    },
}

impl RegistryError {
    /// Returns the error of a failed pull of this content by this caller.
    pub(super) fn failed(failure: PullFailure, target: Target, reader: Reader) -> Self {
        Self::Failed { failure: Box::new(failure), target, reader }
    }

    /// Returns this error once what it follows from is confirmed, or else [`Self::NotConfirmed`]: who is refused here
    /// must be refused by the other replicas.
    pub(in crate::http) async fn confirmed(self, state: &RegistryState) -> Self {
        // A request without a credential, with which every pull begins, does not wait.
        if !self.follows_from_identities() {
            return self;
        }
        match state.policy.confirmed(deadlines::REFUSAL).await {
            Ok(()) => self,
            Err(error) => Self::NotConfirmed(error),
        }
    }

    /// Returns true for what a change of the identities can cause or end.
    fn follows_from_identities(&self) -> bool {
        match self {
            Self::BadBearer(Some(BearerError::Refused(_)))
            | Self::Refused(_)
            | Self::Denied(_)
            | Self::NotIssued { error: IssueError::Refused(_), .. }
            | Self::ProxyOff => true,
            Self::LoginNeeded
            | Self::BadBearer(None | Some(BearerError::Invalid(_)))
            | Self::TooOld(_)
            | Self::NotConfirmed(_)
            | Self::NotIssued {
                error:
                    IssueError::NoCredentials | IssueError::TooManyFailures(_) | IssueError::Busy | IssueError::Signing,
                ..
            }
            | Self::UnknownService(_)
            | Self::UnsupportedGrant
            | Self::NoSuchLogin
            | Self::FormTooLarge
            | Self::FormBroken
            | Self::FormEncoded
            | Self::FormTooSlow
            | Self::Path(_)
            | Self::ListQuery(_)
            | Self::Failed { .. }
            | Self::ReadOnly
            | Self::MalformedRange
            | Self::TooManyRanges
            | Self::Unsatisfiable { .. } => false,
        }
    }

    /// Returns the response to this request.
    pub(in crate::http) fn respond(&self, state: &RegistryState, request: &HttpRequest) -> HttpResponse {
        let error = self.response();
        let mut response = HttpResponse::build(error.status);
        if error.status == StatusCode::UNAUTHORIZED && !matches!(self, Self::NotIssued { .. }) {
            response.insert_header((WWW_AUTHENTICATE, self.challenge(state, request)));
        }
        if let Some(wait) = error.retry_after {
            response.insert_header((RETRY_AFTER, wait.as_secs().max(1)));
        }
        if let Some(reason) = error.reason {
            response.reason(reason);
        }
        // The rest of the body is not read.
        if matches!(self, Self::FormTooLarge | Self::FormTooSlow | Self::FormEncoded | Self::FormBroken) {
            response.force_close();
        }
        if let Some(methods) = self.allowed_methods() {
            response.insert_header((ALLOW, methods));
        }
        if let Self::Unsatisfiable { length } = self {
            response.insert_header((CONTENT_RANGE, format!("bytes */{length}")));
        }
        let message = self.message(error.status, &state.public_url.host(request));
        let code = error.passed_code.as_deref().unwrap_or(error.code);
        let body = error_body(code, &message);
        let mut response = response.insert_header(("docker-distribution-api-version", "registry/2.0")).json(body);
        // Operators read the name of the account also where the caller does not.
        let logged =
            if let Self::Failed { failure, .. } = self { with_id(error.status, failure.to_string()) } else { message };
        self.refused(logged).attach(&mut response);
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
        with_id(status, message)
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
}

impl From<RangeError> for RegistryError {
    fn from(error: RangeError) -> Self {
        match error {
            RangeError::Malformed => Self::MalformedRange,
            RangeError::TooMany => Self::TooManyRanges,
        }
    }
}

/// Adds the id of the request to a sentence, for the statuses with which people turn to an operator.
fn with_id(status: StatusCode, message: String) -> String {
    let has_id = status == StatusCode::FORBIDDEN || status.is_server_error();
    match RequestId::present().filter(|_| has_id) {
        Some(id) => format!("{message} [{id}]"),
        None => message,
    }
}

/// Returns the body of an error (OCI distribution specification, "Error Codes").
pub(in crate::http) fn error_body(code: &str, message: &str) -> Value {
    json!({"errors": [{"code": code, "message": message, "detail": null}]})
}
