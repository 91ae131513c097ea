//! Errors of the REST API, in the shapes that GitLab's clients expect: `{"message": "404 Group Not Found"}` for
//! refusals, `{"message": {"path": ["is ..."]}}` for invalid values, `{"error": "name is missing"}` for requests
//! that cannot be read. The registry's errors have another shape and module. [`response`] maps them to status codes.

mod response;

use std::time::Duration;

use crate::actors::audit::AuditError;
use crate::actors::images::{ImagesError, NotRefreshed, StoreError};
use crate::actors::policy_evaluator::{ChangeError, FleetError, NotConfirmed, TooOld};
use crate::actors::token_issuer::PasswordError;
use crate::actors::warming::TooManyJobs;
use crate::domain::commands::CommandError;

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
    /// Pulls are switched off, in a group or in the whole service. The field says where, and who can switch them on.
    #[error("403 Forbidden - {0}")]
    SwitchedOff(String),
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
    /// The route does not have this method. The field names those that it has.
    #[error("405 Not Allowed")]
    MethodNotAllowed(String),
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
    /// Several fields have faults.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Several(Vec<ApiError>),
    /// The current password in a change of the own password is wrong: a guess, as at a login.
    #[error("current_password is invalid")]
    WrongPassword,
    /// A form of the console is only shown again, with what was typed before its session ended.
    #[error("409 Conflict - the form was not carried out")]
    NotCarriedOut,
    /// The body is larger than any request needs.
    #[error("413 Request Entity Too Large")]
    TooLarge,
    /// The body did not arrive in time.
    #[error("408 Request Timeout")]
    TooSlow,
    /// The body is compressed.
    #[error("415 Unsupported Media Type - the body has a Content-Encoding; send it as it is")]
    Encoded,
    /// The change was refused or could not be stored.
    #[error("{}", failed(.0))]
    Failed(#[from] ChangeError<CommandError>),
    /// The cache could not be read or changed.
    #[error("503 Service Unavailable - the cache cannot be read or changed: {}", .0.for_clients())]
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
    #[error("503 Service Unavailable - the audit events cannot be read: {}", .0.for_clients())]
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
    #[error("503 Service Unavailable - {0}; try again when one has ended")]
    TooManyJobs(#[from] TooManyJobs),
    /// This replica does not know whether the identities are as they were.
    #[error("503 Service Unavailable - {0}")]
    TooOld(TooOld),
    /// A replica may still decide without what the response would show.
    #[error("503 Service Unavailable - {0}")]
    NotConfirmed(#[from] NotConfirmed),
    /// A user is blocked, and the sessions of the user could not be ended.
    #[error(
        "503 Service Unavailable - the user is blocked, but sessions that are open now would go on after an end of the \
         block, because the database that has them does not respond: repeat it"
    )]
    SessionsLeft,
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
            ChangeError::Fleet(error) => Self::Failed(ChangeError::Fleet(error)),
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
            ImagesError::Store(
                error @ (StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed | StoreError::Fleet(_)),
            ) => Self::Cache(error),
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

/// Returns the sentence about a change that failed. It has no message of the store, which is for the operator alone.
fn failed(error: &ChangeError<CommandError>) -> String {
    match error {
        ChangeError::Refused(_) | ChangeError::Busy | ChangeError::Full => format!("the change was not made: {error}"),
        // It may be made, or is: the sentence says so.
        ChangeError::Fleet(error @ (FleetError::Unknown | FleetError::Unconfirmed)) => error.for_clients().to_owned(),
        ChangeError::Fleet(error) => format!("the change was not made: {}", error.for_clients()),
        ChangeError::Store(_) => {
            "the change was not made: the log of this service has the reason; ask the operator".to_owned()
        }
    }
}

/// Returns a time in whole seconds, rounded up, so that a client that waits this long has waited long enough.
fn seconds(wait: &Duration) -> u64 {
    wait.as_secs() + 1
}
