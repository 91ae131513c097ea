//! Errors of the REST API, in the shapes that GitLab's clients expect: `{"message": "404 Group Not Found"}` for
//! refusals, `{"message": {"path": ["is ..."]}}` for invalid values, `{"error": "name is missing"}` for requests
//! that cannot be read. The registry's errors have another shape and module. This is the API's only place that maps
//! failures to status codes.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

use crate::actors::audit::AuditError;
use crate::actors::images::{ImagesError, NotRefreshed, StoreError};
use crate::actors::policy_evaluator::ChangeError;
use crate::actors::token_issuer::PasswordError;
use crate::domain::commands::{CommandError, Resource};
use crate::http::refusals::{Refused, WRONG_SECRET};

/// Reason why a request to the API was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No token, an unknown one, or one that is not accepted by the API.
    #[error("401 Unauthorized")]
    Unauthorized,
    /// A token that was valid once. The text states why it no longer is.
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The token's scopes do not suffice. The field names those that would.
    #[error("The request requires higher privileges than provided by the access token.")]
    InsufficientScope(&'static str),
    /// The caller does not have the right.
    #[error("403 Forbidden")]
    Forbidden,
    /// The caller has the right, but a rule forbids the request.
    #[error("403 Forbidden - {0}")]
    Refused(&'static str),
    /// There is no such user or group that the caller may see.
    #[error("404 {0} Not Found")]
    NotFound(&'static str),
    /// The image is cached by a tag, not by this digest. The field names it with its tags.
    #[error("404 Image Not Found - it is cached by its tag: name it {0}")]
    ByTag(String),
    /// There is no such member, token or the like.
    #[error("404 Not found")]
    NothingThere,
    /// No route has this path.
    #[error("404 Not Found")]
    NoRoute,
    /// The route does not have this method.
    #[error("405 Not Allowed")]
    MethodNotAllowed,
    /// The request cannot be read, or lacks a parameter.
    #[error("{0}")]
    Parameter(String),
    /// A field has an invalid value.
    #[error("{field} {reason}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// The rest of a sentence that begins with the field.
        reason: String,
    },
    /// The current password in a change of the own password is wrong: a guess, as at a login.
    #[error("current_password is invalid")]
    WrongPassword,
    /// The body is larger than any request needs.
    #[error("413 Request Entity Too Large")]
    TooLarge,
    /// The body did not arrive in time.
    #[error("408 Request Timeout")]
    TooSlow,
    /// The change was refused or could not be stored.
    #[error("the change was not made: {0}")]
    Failed(#[from] ChangeError<CommandError>),
    /// The cache could not be read or changed.
    #[error("503 Service Unavailable - the cache cannot be read or changed: {0}")]
    Cache(StoreError),
    /// The disk of the cache is full.
    #[error(
        "507 Insufficient Storage - the disk of the cache (storage.cache_dir) or of its index (storage.data_dir) is full: the change \
         was not made; free some space there and try again"
    )]
    CacheFull,
    /// Too many lists of images are being read.
    #[error("503 Service Unavailable - too many lists of images are read at once, try again")]
    TooManyLists,
    /// The audit events could not be read.
    #[error("503 Service Unavailable - the audit events cannot be read: {0}")]
    Audit(StoreError),
    /// Too many lists of audit events are being read.
    #[error("503 Service Unavailable - too many lists of audit events are read at once, try again")]
    TooManyAuditLists,
    /// A tag could not be confirmed by its registry. The field is the reason, as a sentence.
    #[error("502 Bad Gateway - {0}")]
    NotRefreshed(String),
    /// The registry does not have the tag any more. The field is the reason, as a sentence.
    #[error("404 Not Found - {0}")]
    NotAtRegistry(String),
    /// The sizes of the cache are not known, because its index is damaged.
    #[error("503 Service Unavailable - the index of the cache is damaged; restart the service, which rebuilds it")]
    NoSizes,
    /// Too many jobs that pull images are running.
    #[error("503 Service Unavailable - too many jobs are running, try again later")]
    TooManyJobs,
    /// Too many passwords are being hashed.
    #[error("503 Service Unavailable - too many passwords at once, try again")]
    Busy,
    /// Too many wrong passwords. The field is the time to wait.
    #[error("429 Too Many Requests - too many failed logins, the next one is possible in {} s", seconds(.0))]
    TooManyLogins(Duration),
    /// Too many changes by this caller. The field is the time to wait.
    #[error("429 Too Many Requests - too many changes in a minute, try again in {} s", seconds(.0))]
    TooManyChanges(Duration),
}

impl ApiError {
    /// Converts the error of a login with a password; `wrong` is that of a wrong one.
    pub(super) fn of_login(error: &PasswordError, wrong: Self) -> Self {
        match error {
            PasswordError::Wrong => wrong,
            PasswordError::TooMany(wait) => Self::TooManyLogins(*wait),
            PasswordError::Busy => Self::Busy,
        }
    }

    /// Converts the error of a change whose edit itself decides on the caller's rights.
    pub(super) fn of_change(error: ChangeError<Self>) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Busy => Self::Failed(ChangeError::Busy),
            ChangeError::Full => Self::Failed(ChangeError::Full),
            ChangeError::Store(reason) => Self::Failed(ChangeError::Store(reason)),
        }
    }

    /// Returns the error for a parameter whose value has the wrong type.
    pub(super) fn malformed(name: &str) -> Self {
        Self::Parameter(format!("{name} is invalid"))
    }

    /// Returns the error for a parameter whose value is not one of those allowed.
    pub(super) fn invalid_value(name: &str) -> Self {
        Self::Parameter(format!("{name} does not have a valid value"))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::Forbidden | Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::ByTag(_) | Self::NothingThere | Self::NoRoute | Self::NotAtRegistry(_) => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Parameter(_) | Self::Invalid { .. } | Self::WrongPassword => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Failed(failure) => match failure {
                ChangeError::Refused(error) => edit_status(error),
                ChangeError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                ChangeError::Full => StatusCode::INSUFFICIENT_STORAGE,
                ChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Busy
            | Self::TooManyJobs
            | Self::TooManyLists
            | Self::TooManyAuditLists
            | Self::Cache(_)
            | Self::Audit(_)
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

    /// Returns the label under which it is counted.
    pub(in crate::http) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::InvalidToken(_) => "invalid_token",
            Self::InsufficientScope(_) => "scopes",
            Self::Forbidden => "no_access",
            Self::Refused(_) => "refused",
            Self::NotFound(_) | Self::ByTag(_) | Self::NothingThere | Self::NotAtRegistry(_) => "not_found",
            Self::WrongPassword => WRONG_SECRET,
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "wrong_method",
            Self::Parameter(_) | Self::Invalid { .. } | Self::TooLarge | Self::TooSlow => "wrong_request",
            Self::Failed(ChangeError::Refused(CommandError::Missing(_))) => "not_found",
            Self::Failed(ChangeError::Refused(_)) => "refused",
            Self::Failed(ChangeError::Busy)
            | Self::Busy
            | Self::TooManyJobs
            | Self::TooManyLists
            | Self::TooManyAuditLists => "busy",
            Self::Failed(ChangeError::Full | ChangeError::Store(_))
            | Self::Cache(_)
            | Self::Audit(_)
            | Self::CacheFull
            | Self::NoSizes => "store",
            Self::NotRefreshed(_) => "upstream_failed",
            Self::TooManyLogins(_) => "too_many_failures",
            Self::TooManyChanges(_) => "too_many_changes",
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::InvalidToken(text) => json!({"error": "invalid_token", "error_description": text}),
            Self::InsufficientScope(scope) => {
                json!({"error": "insufficient_scope", "error_description": self.to_string(), "scope": scope})
            }
            Self::Parameter(_) | Self::NoRoute | Self::MethodNotAllowed | Self::TooLarge | Self::TooSlow => {
                json!({"error": self.to_string()})
            }
            Self::Invalid { field, reason } => json!({"message": {*field: [reason]}}),
            Self::WrongPassword => json!({"message": {"current_password": ["is invalid"]}}),
            Self::Failed(failure) => match failure {
                ChangeError::Refused(error) => edit_body(error),
                ChangeError::Busy => {
                    json!({"message": "503 Service Unavailable - too many changes at once, try again"})
                }
                ChangeError::Full => json!({"message": FULL}),
                ChangeError::Store(_) => json!({"message": "500 Internal Server Error"}),
            },
            Self::Unauthorized
            | Self::Forbidden
            | Self::Refused(_)
            | Self::NotFound(_)
            | Self::ByTag(_)
            | Self::NothingThere
            | Self::Busy
            | Self::TooManyJobs
            | Self::TooManyLists
            | Self::TooManyAuditLists
            | Self::Cache(_)
            | Self::Audit(_)
            | Self::CacheFull
            | Self::NotAtRegistry(_)
            | Self::NoSizes
            | Self::NotRefreshed(_)
            | Self::TooManyLogins(_)
            | Self::TooManyChanges(_) => json!({"message": self.to_string()}),
        }
    }
}

/// Returns a time in whole seconds, rounded up, so that a client that waits this long has waited long enough.
fn seconds(wait: &Duration) -> u64 {
    wait.as_secs() + 1
}

const FULL: &str = "507 Insufficient Storage - the disk that holds the identities (storage.data_dir) is full: the change was not made; \
                    free some space there and try again";

fn edit_status(error: &CommandError) -> StatusCode {
    match error {
        CommandError::Missing(_) => StatusCode::NOT_FOUND,
        CommandError::Invalid { .. } => StatusCode::BAD_REQUEST,
        CommandError::Conflict(_) => StatusCode::CONFLICT,
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
        CommandError::Conflict(text) => json!({"message": text}),
        CommandError::Forbidden => json!({"message": error.to_string()}),
        CommandError::Refused(text) => json!({"message": format!("403 Forbidden - {text}")}),
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        Self::Failed(ChangeError::Refused(error))
    }
}

impl From<ImagesError> for ApiError {
    fn from(error: ImagesError) -> Self {
        match error {
            ImagesError::Busy => Self::TooManyLists,
            ImagesError::Store(StoreError::Full) => Self::CacheFull,
            ImagesError::Store(error @ (StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed)) => {
                Self::Cache(error)
            }
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Busy => Self::TooManyAuditLists,
            AuditError::Store(error) => Self::Audit(error),
        }
    }
}

impl From<NotRefreshed> for ApiError {
    fn from(failure: NotRefreshed) -> Self {
        match failure {
            NotRefreshed::Gone(reason) => Self::NotAtRegistry(reason),
            NotRefreshed::Failed(reason) => Self::NotRefreshed(reason),
        }
    }
}

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
        // The rest of the body is not read.
        if matches!(self, Self::TooLarge | Self::TooSlow) {
            response.force_close();
        }
        let mut response = response.json(self.body());
        self.refused().attach(&mut response);
        response
    }
}
