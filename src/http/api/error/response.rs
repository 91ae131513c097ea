//! The responses to requests that were not carried out. This is the API's only place that maps failures to status
//! codes.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

use super::{ApiError, seconds};
use crate::actors::policy_evaluator::ChangeError;
use crate::domain::commands::{CommandError, Resource};
use crate::http::refusals::{Reason, Refused};

const FULL: &str = "507 Insufficient Storage - the disk that holds the identities (storage.data_dir) is full: the change was not made; \
                    free some space there and try again";

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status();
        let mut response = HttpResponse::build(status);
        if let Some(wait) = self.wait() {
            response.insert_header((RETRY_AFTER, wait.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"api\""));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            response.insert_header((ALLOW, allowed.as_str()));
        }
        // The rest of the body is not read.
        if matches!(self, Self::TooLarge | Self::TooSlow | Self::Encoded) {
            response.force_close();
        }
        let mut response = response.json(self.body());
        self.refused().attach(&mut response);
        response
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::Forbidden | Self::Refused(_) | Self::SwitchedOff(_) => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound(_) | Self::ByTag(_) | Self::NothingThere | Self::NoRoute | Self::NotAtRegistry(_) => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Parameter(_) | Self::Invalid { .. } | Self::Several(_) | Self::WrongPassword => {
                StatusCode::BAD_REQUEST
            }
            Self::NotCarriedOut => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Failed(failure) => match failure {
                ChangeError::Refused(error) => edit_status(error),
                ChangeError::Busy | ChangeError::Fleet(_) => StatusCode::SERVICE_UNAVAILABLE,
                ChangeError::Full => StatusCode::INSUFFICIENT_STORAGE,
                ChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Busy
            | Self::TooManyJobs(_)
            | Self::TooManyLists
            | Self::TooManyAuditLists
            | Self::Cache(_)
            | Self::Audit(_)
            | Self::TooOld(_)
            | Self::NotConfirmed(_)
            | Self::SessionsLeft
            | Self::NoSizes => StatusCode::SERVICE_UNAVAILABLE,
            Self::CacheFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::NotRefreshed(_) => StatusCode::BAD_GATEWAY,
            Self::TooManyLogins(_) | Self::TooManyChanges(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Returns the data of this refusal for the log.
    pub(in crate::http) fn refused(&self) -> Refused {
        let sentence =
            if let Self::Failed(ChangeError::Refused(error)) = self { error.to_string() } else { self.to_string() };
        let mut refused = Refused::new(self.reason(), sentence);
        if let Self::Failed(ChangeError::Store(reason)) = self {
            refused.details = Some(reason.clone());
        } else if let Self::Failed(ChangeError::Fleet(error)) = self {
            refused.details = Some(error.to_string());
        } else if let Self::Cache(error) | Self::Audit(error) = self {
            refused.details = Some(error.to_string());
        }
        refused
    }

    /// Returns the time in whole seconds after which the same request may be carried out, if that is known.
    pub(in crate::http) fn wait(&self) -> Option<u64> {
        if let Self::TooManyLogins(wait) | Self::TooManyChanges(wait) = self {
            return Some(seconds(wait));
        }
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
    }

    /// Returns the reason under which it is counted.
    pub(in crate::http) fn reason(&self) -> Reason {
        match self {
            Self::Unauthorized => Reason::Unauthorized,
            Self::InvalidToken(_) => Reason::InvalidToken,
            Self::InsufficientScope(_) => Reason::Scopes,
            Self::Forbidden => Reason::NoAccess,
            Self::Refused(_) | Self::SwitchedOff(_) | Self::NotCarriedOut => Reason::Refused,
            Self::NotFound(_) | Self::ByTag(_) | Self::NothingThere | Self::NotAtRegistry(_) => Reason::NotFound,
            Self::WrongPassword => Reason::WrongSecret,
            Self::NoRoute => Reason::NoRoute,
            Self::MethodNotAllowed(_) => Reason::WrongMethod,
            Self::Parameter(_)
            | Self::Invalid { .. }
            | Self::Several(_)
            | Self::TooLarge
            | Self::TooSlow
            | Self::Encoded => Reason::WrongRequest,
            Self::Failed(ChangeError::Refused(CommandError::Missing(_))) => Reason::NotFound,
            Self::Failed(ChangeError::Refused(_)) => Reason::Refused,
            Self::Failed(ChangeError::Busy)
            | Self::Busy
            | Self::TooManyJobs(_)
            | Self::TooManyLists
            | Self::TooManyAuditLists => Reason::Busy,
            Self::Failed(ChangeError::Full | ChangeError::Store(_) | ChangeError::Fleet(_))
            | Self::TooOld(_)
            | Self::NotConfirmed(_)
            | Self::SessionsLeft
            | Self::Cache(_)
            | Self::Audit(_)
            | Self::CacheFull
            | Self::NoSizes => Reason::Store,
            Self::NotRefreshed(_) => Reason::UpstreamFailed,
            Self::TooManyLogins(_) => Reason::TooManyFailures,
            Self::TooManyChanges(_) => Reason::TooManyChanges,
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::InvalidToken(text) => json!({"error": "invalid_token", "error_description": text}),
            Self::InsufficientScope(scope) => {
                json!({"error": "insufficient_scope", "error_description": self.to_string(), "scope": scope})
            }
            Self::Parameter(_)
            | Self::NoRoute
            | Self::MethodNotAllowed(_)
            | Self::TooLarge
            | Self::TooSlow
            | Self::Encoded => json!({"error": self.to_string()}),
            Self::Invalid { field, reason } => json!({"message": {*field: [reason]}}),
            Self::Several(faults) => several(faults),
            Self::WrongPassword => json!({"message": {"current_password": ["is invalid"]}}),
            Self::Failed(ChangeError::Refused(error)) => edit_body(error),
            Self::Failed(ChangeError::Busy) => {
                json!({"message": "503 Service Unavailable - too many changes at once, try again"})
            }
            Self::Failed(ChangeError::Full) => json!({"message": FULL}),
            Self::Failed(ChangeError::Fleet(_)) => json!({"message": format!("503 Service Unavailable - {self}")}),
            Self::Failed(ChangeError::Store(_)) => json!({"message": "500 Internal Server Error"}),
            Self::Unauthorized
            | Self::Forbidden
            | Self::Refused(_)
            | Self::SwitchedOff(_)
            | Self::NotCarriedOut
            | Self::NotFound(_)
            | Self::ByTag(_)
            | Self::NothingThere
            | Self::Busy
            | Self::TooManyJobs(_)
            | Self::TooManyLists
            | Self::TooManyAuditLists
            | Self::Cache(_)
            | Self::Audit(_)
            | Self::CacheFull
            | Self::NotAtRegistry(_)
            | Self::NoSizes
            | Self::TooOld(_)
            | Self::NotConfirmed(_)
            | Self::SessionsLeft
            | Self::NotRefreshed(_)
            | Self::TooManyLogins(_)
            | Self::TooManyChanges(_) => json!({"message": self.to_string()}),
        }
    }
}

fn edit_status(error: &CommandError) -> StatusCode {
    match error {
        CommandError::Missing(_) => StatusCode::NOT_FOUND,
        CommandError::Invalid { .. } => StatusCode::BAD_REQUEST,
        CommandError::Conflict { .. } | CommandError::Changed(_) => StatusCode::CONFLICT,
        CommandError::Several(faults) => several_status(faults),
        CommandError::Forbidden | CommandError::Refused(_) => StatusCode::FORBIDDEN,
    }
}

fn edit_body(error: &CommandError) -> Value {
    match error {
        CommandError::Missing(thing @ (Resource::User | Resource::Group)) => {
            json!({"message": format!("404 {thing} Not Found")})
        }
        CommandError::Missing(Resource::Member | Resource::Token) => json!({"message": "404 Not found"}),
        CommandError::Invalid { field, reason } => json!({"message": {*field: [reason]}}),
        CommandError::Conflict { text, .. } => json!({"message": text}),
        CommandError::Several(faults) => message_of(faults.iter().filter_map(fault_of_field)),
        CommandError::Changed(_) | CommandError::Forbidden => json!({"message": error.to_string()}),
        CommandError::Refused(text) => json!({"message": format!("403 Forbidden - {text}")}),
    }
}

/// Returns the body for several faults: GitLab names first what cannot be read, and then what is not valid.
fn several(faults: &[ApiError]) -> Value {
    let is_unread = |fault: &&ApiError| matches!(fault, ApiError::Parameter(_));
    let unread: Vec<String> = faults.iter().filter(is_unread).map(ToString::to_string).collect();
    if !unread.is_empty() {
        return json!({"error": unread.join(", ")});
    }
    message_of(faults.iter().filter_map(invalid_field))
}

/// Returns the status for several faults. One that can be corrected without knowing what exists comes first.
fn several_status(faults: &[CommandError]) -> StatusCode {
    let is_conflict = |fault| matches!(fault, &CommandError::Conflict { .. });
    if faults.iter().all(is_conflict) { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST }
}

fn invalid_field(fault: &ApiError) -> Option<(&'static str, &str)> {
    let ApiError::Invalid { field, reason } = fault else { return None };
    Some((field, reason))
}

fn fault_of_field(fault: &CommandError) -> Option<(&'static str, &str)> {
    if let CommandError::Invalid { field, reason } = fault {
        return Some((field, reason));
    }
    let CommandError::Conflict { field, text } = fault else { return None };
    Some((field.unwrap_or("base"), text))
}

/// Returns the body with the reasons of each field.
fn message_of<'a>(faults: impl Iterator<Item = (&'static str, &'a str)>) -> Value {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    faults.for_each(|(field, reason)| reasons.entry(field).or_default().push(reason));
    json!({"message": reasons})
}
