//! The labels under which refusals of the registry's routes are counted.

use super::RegistryError;
use crate::actors::pull_failure::Cause;
use crate::actors::token_issuer::IssueError;
use crate::auth::login::BearerError;
use crate::domain::image_path::ImagePathError;
use crate::domain::policy::{PullDenial, Refusal};
use crate::http::refusals::{LOGIN_NEEDED, WRONG_SECRET};

impl RegistryError {
    /// Returns the label of this error.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::LoginNeeded => LOGIN_NEEDED,
            Self::BadBearer(Some(BearerError::Refused(refusal))) | Self::Refused(refusal) => of_refusal(refusal),
            Self::BadBearer(_) => "invalid_token",
            Self::TooOld(_) | Self::NotConfirmed(_) => "store",
            Self::ProxyOff | Self::Denied(PullDenial::SwitchedOff { .. }) => "proxy_off",
            Self::NotIssued { error, .. } => of_issue(error),
            Self::UnknownService(_) | Self::UnsupportedGrant | Self::NoSuchLogin => "wrong_login_request",
            Self::FormTooLarge | Self::FormTooSlow | Self::FormEncoded | Self::FormBroken => "wrong_login_request",
            Self::Path(error) => of_path(error),
            Self::ListQuery(_) => "wrong_path",
            Self::Denied(PullDenial::NotForThem { .. }) => "no_access",
            Self::Failed { failure, .. } => of_cause(&failure.cause),
            Self::ReadOnly => "read_only",
            Self::MalformedRange | Self::TooManyRanges | Self::Unsatisfiable { .. } => "wrong_range",
        }
    }
}

/// Returns the label of a refused credential.
fn of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown | Refusal::GitlabToken | Refusal::Username { .. } => WRONG_SECRET,
        Refusal::PasswordAtRegistry => "password_not_accepted",
        Refusal::NeverSeen => "unknown_token",
        Refusal::Expired { .. } | Refusal::Replaced { .. } => "expired",
        Refusal::Revoked { .. } | Refusal::Gone => "revoked",
        Refusal::Blocked { .. } => "blocked",
        Refusal::Scopes { .. } => "scopes",
    }
}

fn of_issue(error: &IssueError) -> &'static str {
    match error {
        IssueError::Refused(refusal) => of_refusal(refusal),
        IssueError::NoCredentials => LOGIN_NEEDED,
        IssueError::TooManyFailures(_) => "too_many_failures",
        IssueError::Busy => "busy",
        IssueError::Signing => "internal",
    }
}

fn of_path(error: &ImagePathError) -> &'static str {
    match error {
        ImagePathError::NoSuchRoute => "no_route",
        ImagePathError::NotAProxyPath { .. }
        | ImagePathError::UnknownUpstream { .. }
        | ImagePathError::UnknownNamespace { .. }
        | ImagePathError::Group(_)
        | ImagePathError::Name(_)
        | ImagePathError::Reference(_)
        | ImagePathError::Digest(_) => "wrong_path",
    }
}

fn of_cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::NotFound | Cause::NoRepository => "not_found",
        Cause::Denied { .. } | Cause::Refused { .. } | Cause::Unusable { .. } => "refused_by_upstream",
        Cause::RateLimited { .. } | Cause::Reserved(_) => "upstream_rate_limit",
        Cause::AccountRefused | Cause::AccountGraceOver | Cause::AccountUntrusted { .. } | Cause::AccountUnreadable => {
            "upstream_account"
        }
        Cause::RealmFailed { .. }
        | Cause::Unreachable { .. }
        | Cause::TimedOut
        | Cause::ServerError { .. }
        | Cause::Interrupted { .. }
        | Cause::InvalidResponse { .. }
        | Cause::ForbiddenAddress { .. } => "upstream_failed",
        Cause::Offline => "offline",
        Cause::Busy => "busy",
        Cause::NoMemory => "no_memory",
        Cause::Store => "store",
        Cause::Internal => "internal",
    }
}
