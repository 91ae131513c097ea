//! The status, code and reason phrase of each error of the registry's routes. The sentences are elsewhere.

use std::time::Duration;

use actix_web::http::StatusCode;

use super::RegistryError;
use crate::actors::policy_evaluator::TooOld;
use crate::actors::pull_failure::{Cause, ConnectionFailure, PullFailure};
use crate::actors::token_issuer::IssueError;
use crate::domain::image_path::{ImagePathError, Target};
use crate::domain::reference::ReferenceError;

/// An error as a response: its status, code and headers.
pub(super) struct ErrorResponse {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    /// Upstream's own code, if its refusal is passed on.
    pub(super) passed_code: Option<String>,
    /// The HTTP reason phrase. Docker, podman and ctr show nothing else of a 5xx.
    pub(super) reason: Option<&'static str>,
    pub(super) retry_after: Option<Duration>,
}

impl RegistryError {
    /// Returns the status, code and headers of the response.
    pub(super) fn response(&self) -> ErrorResponse {
        match self {
            Self::LoginNeeded | Self::BadBearer(_) => ErrorResponse::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::TooOld(error) => {
                let reason = match error {
                    TooOld::Silent => "Database and object store of this service do not respond - try again",
                    TooOld::OtherSecret => "This replica does not have the secret of the others - ask the operator",
                };
                ErrorResponse::unavailable(reason, Some(Duration::from_secs(1)))
            }
            Self::NotConfirmed(_) => {
                let reason = "Not all replicas of this service respond - try again";
                ErrorResponse::unavailable(reason, Some(Duration::from_secs(1)))
            }
            Self::ProxyOff | Self::Denied(_) => ErrorResponse::new(StatusCode::FORBIDDEN, "DENIED"),
            Self::Refused(refusal) if refusal.is_wrong_secret() => {
                ErrorResponse::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
            }
            Self::Refused(_) => ErrorResponse::new(StatusCode::FORBIDDEN, "DENIED"),
            Self::NotIssued { error, to_pull } => not_issued(error, *to_pull),
            Self::UnknownService(_) => ErrorResponse::new(StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::UnsupportedGrant | Self::FormBroken | Self::ListQuery(_) => {
                ErrorResponse::new(StatusCode::BAD_REQUEST, "UNSUPPORTED")
            }
            Self::Path(error) => path(error),
            Self::Failed { failure, target, .. } => failed(failure, target),
            Self::ReadOnly | Self::NoSuchLogin => ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::FormTooLarge => ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, "UNSUPPORTED"),
            Self::FormEncoded => ErrorResponse::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED"),
            Self::FormTooSlow => ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, "UNSUPPORTED"),
            // Not 416: podman and the stargz snapshotter request fewer ranges after a 400, but give up after a 416.
            Self::MalformedRange | Self::TooManyRanges => ErrorResponse::new(StatusCode::BAD_REQUEST, "RANGE_INVALID"),
            Self::Unsatisfiable { .. } => ErrorResponse::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
        }
    }
}

fn not_issued(error: &IssueError, to_pull: bool) -> ErrorResponse {
    match error {
        IssueError::Refused(refusal) if refusal.is_wrong_secret() && !to_pull => {
            ErrorResponse::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
        }
        IssueError::Refused(_) | IssueError::NoCredentials => ErrorResponse::new(StatusCode::FORBIDDEN, "DENIED"),
        IssueError::TooManyFailures(wait) => {
            let response = ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
            ErrorResponse { retry_after: Some(*wait + Duration::from_secs(1)), ..response }
        }
        IssueError::Busy => {
            ErrorResponse::unavailable("Too many logins at once - try again", Some(Duration::from_secs(2)))
        }
        IssueError::Signing => ErrorResponse::unavailable("Internal fault: the log of this service has more", None),
    }
}

fn path(error: &ImagePathError) -> ErrorResponse {
    match error {
        ImagePathError::NotAProxyPath { .. } | ImagePathError::UnknownUpstream { .. } => {
            ErrorResponse::new(StatusCode::FORBIDDEN, "DENIED")
        }
        ImagePathError::UnknownNamespace { .. } => ErrorResponse::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        ImagePathError::Group(_) | ImagePathError::Name(_) => {
            ErrorResponse::new(StatusCode::BAD_REQUEST, "NAME_INVALID")
        }
        ImagePathError::Reference(ReferenceError::Tag) => ErrorResponse::new(StatusCode::BAD_REQUEST, "TAG_INVALID"),
        ImagePathError::Reference(ReferenceError::Digest(_)) | ImagePathError::Digest(_) => {
            ErrorResponse::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID")
        }
        ImagePathError::NoSuchRoute => ErrorResponse::new(StatusCode::NOT_FOUND, "UNSUPPORTED"),
    }
}

fn failed(failure: &PullFailure, target: &Target) -> ErrorResponse {
    let unavailable = |reason| ErrorResponse::unavailable(reason, Some(failure.retry_after()));
    match &failure.cause {
        Cause::NotFound => ErrorResponse::new(StatusCode::NOT_FOUND, unknown(target)),
        Cause::NoRepository => ErrorResponse::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        Cause::Denied { .. } => ErrorResponse::new(StatusCode::FORBIDDEN, "DENIED"),
        Cause::Refused { status, code, .. } => ErrorResponse {
            passed_code: code.clone(),
            ..ErrorResponse::new(StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN), "UNSUPPORTED")
        },
        // Clients show the sentence of a 403, but not that of most other statuses.
        Cause::Unusable { .. } => ErrorResponse::new(StatusCode::FORBIDDEN, "MANIFEST_INVALID"),
        Cause::RateLimited { .. } => {
            unavailable("Pull limit of the upstream registry is reached and this is not cached here yet")
        }
        Cause::Reserved(_) => {
            unavailable("Pull limit of the upstream registry is nearly reached and this is not cached here yet")
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
        Cause::AccountUnreadable => {
            unavailable("The account of this group cannot be decrypted and this is not cached here yet")
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
        Cause::Offline => unavailable("This cache is offline and this is not cached here yet"),
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

impl ErrorResponse {
    fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, passed_code: None, reason: None, retry_after: None }
    }

    fn unavailable(reason: &'static str, retry_after: Option<Duration>) -> Self {
        let response = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
        Self { reason: Some(reason), retry_after, ..response }
    }
}

#[cfg(test)]
mod tests;
