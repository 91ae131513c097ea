//! The reasons of refusals by the registry's routes.

use super::RegistryError;
use crate::actors::pull_failure::Cause;
use crate::actors::token_issuer::IssueError;
use crate::auth::login::BearerError;
use crate::domain::image_path::ImagePathError;
use crate::domain::policy::{PullDenial, Refusal};
use crate::http::refusals::Reason;

impl RegistryError {
    /// Returns the reason of this error.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::LoginNeeded => Reason::LoginNeeded,
            Self::BadBearer(Some(BearerError::Refused(refusal))) | Self::Refused(refusal) => of_refusal(refusal),
            Self::BadBearer(_) => Reason::InvalidToken,
            Self::TooOld(_) | Self::NotConfirmed(_) => Reason::Store,
            Self::ProxyOff | Self::Denied(PullDenial::SwitchedOff { .. }) => Reason::ProxyOff,
            Self::NotIssued { error, .. } => of_issue(error),
            Self::UnknownService(_) | Self::UnsupportedGrant | Self::NoSuchLogin => Reason::WrongLoginRequest,
            Self::FormTooLarge | Self::FormTooSlow | Self::FormEncoded | Self::FormBroken => Reason::WrongLoginRequest,
            Self::Path(error) => of_path(error),
            Self::ListQuery(_) => Reason::WrongPath,
            Self::Denied(PullDenial::NotForThem { .. }) => Reason::NoAccess,
            Self::Failed { failure, .. } => of_cause(&failure.cause),
            Self::ReadOnly => Reason::ReadOnly,
            Self::MalformedRange | Self::TooManyRanges | Self::Unsatisfiable { .. } => Reason::WrongRange,
        }
    }
}

/// Returns the reason of a refused credential.
fn of_refusal(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Unknown | Refusal::GitlabToken | Refusal::Username { .. } => Reason::WrongSecret,
        Refusal::PasswordAtRegistry => Reason::PasswordNotAccepted,
        Refusal::NeverSeen => Reason::UnknownToken,
        Refusal::Expired { .. } | Refusal::Replaced { .. } => Reason::Expired,
        Refusal::Revoked { .. } | Refusal::Gone => Reason::Revoked,
        Refusal::Blocked { .. } => Reason::Blocked,
        Refusal::Scopes { .. } => Reason::Scopes,
    }
}

fn of_issue(error: &IssueError) -> Reason {
    match error {
        IssueError::Refused(refusal) => of_refusal(refusal),
        IssueError::NoCredentials => Reason::LoginNeeded,
        IssueError::TooManyFailures(_) => Reason::TooManyFailures,
        IssueError::Busy => Reason::Busy,
        IssueError::Signing => Reason::Internal,
    }
}

fn of_path(error: &ImagePathError) -> Reason {
    match error {
        ImagePathError::NoSuchRoute => Reason::NoRoute,
        ImagePathError::NotAProxyPath { .. }
        | ImagePathError::UnknownUpstream { .. }
        | ImagePathError::UnknownNamespace { .. }
        | ImagePathError::Group(_)
        | ImagePathError::Name(_)
        | ImagePathError::Reference(_)
        | ImagePathError::Digest(_) => Reason::WrongPath,
    }
}

fn of_cause(cause: &Cause) -> Reason {
    match cause {
        Cause::NotFound | Cause::NoRepository => Reason::NotFound,
        Cause::Denied { .. } | Cause::Refused { .. } | Cause::Unusable { .. } => Reason::RefusedByUpstream,
        Cause::RateLimited { .. } | Cause::Reserved(_) => Reason::UpstreamRateLimit,
        Cause::AccountRefused | Cause::AccountGraceOver | Cause::AccountUntrusted { .. } | Cause::AccountUnreadable => {
            Reason::UpstreamAccount
        }
        Cause::RealmFailed { .. }
        | Cause::Unreachable { .. }
        | Cause::TimedOut
        | Cause::ServerError { .. }
        | Cause::Interrupted { .. }
        | Cause::InvalidResponse { .. }
        | Cause::ForbiddenAddress { .. } => Reason::UpstreamFailed,
        Cause::Offline => Reason::Offline,
        Cause::Busy => Reason::Busy,
        Cause::NoMemory => Reason::NoMemory,
        Cause::Store => Reason::Store,
        Cause::Internal => Reason::Internal,
    }
}
