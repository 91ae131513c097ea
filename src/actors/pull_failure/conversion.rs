//! The causes of failed pulls, as converted from the errors of upstream and of the memory budget.

use super::{Cause, Peer};
use crate::actors::memory_budget::{CollectError, NoMemory};
use crate::upstream::{RealmError, UpstreamError};

impl From<&UpstreamError> for Cause {
    fn from(error: &UpstreamError) -> Self {
        let invalid = |what: &str| Self::InvalidResponse { what: what.to_owned() };
        match error.clone() {
            UpstreamError::NotFound => Self::NotFound,
            UpstreamError::Denied { message } => Self::Denied { message },
            UpstreamError::Refused(failure) => {
                Self::Refused { status: failure.status, code: failure.code, message: failure.message }
            }
            UpstreamError::RateLimited(limits) => {
                Self::RateLimited { limit: limits.limit.zip(limits.window), retry_after: limits.retry_after }
            }
            UpstreamError::Unreachable { failure, elsewhere, reason } => {
                Self::Unreachable { peer: elsewhere.map_or(Peer::Registry, Peer::Redirect), failure, reason }
            }
            UpstreamError::TimedOut => Self::TimedOut,
            UpstreamError::ServerError(failure) => {
                Self::ServerError { status: failure.status, message: failure.message }
            }
            UpstreamError::Storage { status } => invalid(&format!("its storage refused with HTTP status {status}")),
            UpstreamError::InvalidResponse { what } => invalid(what),
            UpstreamError::Unsupported { what } => {
                Self::Unusable { problem: format!("only as {what}, which is not supported") }
            }
            UpstreamError::TokenRealm(error) => error.into(),
            UpstreamError::ForbiddenAddress { host } => Self::ForbiddenAddress { host },
            UpstreamError::WrongRange => invalid("another range than the one requested"),
            UpstreamError::Interrupted { reason } => Self::Interrupted { reason },
            UpstreamError::TooLong => invalid("it is too long"),
            UpstreamError::Reserved(others) => Self::Reserved(others),
            UpstreamError::Offline => Self::Offline,
            UpstreamError::Busy => Self::Busy,
            UpstreamError::InBackoff(error) => Self::from(&*error),
            UpstreamError::UnreadableAccount => Self::AccountUnreadable,
            UpstreamError::NotConfigured | UpstreamError::Lost => Self::Internal,
        }
    }
}

impl From<&CollectError> for Cause {
    fn from(error: &CollectError) -> Self {
        match error {
            CollectError::Upstream(error) => error.into(),
            CollectError::NoMemory(error) => (*error).into(),
        }
    }
}

impl From<NoMemory> for Cause {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<RealmError> for Cause {
    fn from(error: RealmError) -> Self {
        match error {
            RealmError::Denied { .. } => Self::Denied { message: None },
            RealmError::Refused { .. } => Self::AccountRefused,
            RealmError::Untrusted { host } => Self::AccountUntrusted { host },
            RealmError::Unreachable { host, failure, reason } => {
                Self::Unreachable { peer: Peer::TokenRealm(host), failure, reason }
            }
            RealmError::Failed(failure) => Self::RealmFailed { status: failure.status, message: failure.message },
            RealmError::InvalidResponse { what } => Self::InvalidResponse { what: format!("its token realm: {what}") },
        }
    }
}
