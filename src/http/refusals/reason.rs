//! The reasons for which requests are refused, as logs, metrics and the audit trail name them.

/// The reason of a refusal: one of a few fixed words, independent of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum Reason {
    /// The credential of a user who is blocked.
    Blocked,
    /// Too many requests of one kind at once.
    Busy,
    /// A credential that has ended.
    Expired,
    /// A failure that no request should cause.
    Internal,
    /// A bearer token or a token of the API that is none.
    InvalidToken,
    /// No credential at a route of the registry, with which every login begins.
    LoginNeeded,
    /// Bytes that are no HTTP request.
    Malformed,
    /// A caller without the right.
    NoAccess,
    /// Too little memory for the request.
    NoMemory,
    /// No such route.
    NoRoute,
    /// No such object.
    NotFound,
    /// Content that is not cached, while no registry is requested.
    Offline,
    /// A refusal without a reason of its own.
    Other,
    /// A password where only tokens are accepted.
    PasswordNotAccepted,
    /// The proxy is switched off.
    ProxyOff,
    /// A method that changes something, at the registry's routes.
    ReadOnly,
    /// A rule that does not allow the change.
    Refused,
    /// The registry refused the pull.
    RefusedByUpstream,
    /// A credential that was revoked, or whose password was changed.
    Revoked,
    /// A credential without the scopes.
    Scopes,
    /// A failure of the store.
    Store,
    /// Too many changes of one caller.
    TooManyChanges,
    /// Too many failed logins.
    TooManyFailures,
    /// No credential at a route of the API or of the console.
    Unauthorized,
    /// A secret of the form of this service's tokens that it has never seen.
    UnknownToken,
    /// The registry did not accept the account.
    UpstreamAccount,
    /// The registry failed.
    UpstreamFailed,
    /// The limit of pulls at the registry.
    UpstreamRateLimit,
    /// A request for a login token that cannot be carried out.
    WrongLoginRequest,
    /// A method that the route does not have.
    WrongMethod,
    /// A path that names no image.
    WrongPath,
    /// A range that does not exist.
    WrongRange,
    /// A parameter or a body that cannot be used.
    WrongRequest,
    /// A wrong secret, of any kind.
    WrongSecret,
}

impl Reason {
    /// Returns the label under which it is counted.
    pub(in crate::http) fn label(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Busy => "busy",
            Self::Expired => "expired",
            Self::Internal => "internal",
            Self::InvalidToken => "invalid_token",
            Self::LoginNeeded => "login_needed",
            Self::Malformed => "malformed",
            Self::NoAccess => "no_access",
            Self::NoMemory => "no_memory",
            Self::NoRoute => "no_route",
            Self::NotFound => "not_found",
            Self::Offline => "offline",
            Self::Other => "other",
            Self::PasswordNotAccepted => "password_not_accepted",
            Self::ProxyOff => "proxy_off",
            Self::ReadOnly => "read_only",
            Self::Refused => "refused",
            Self::RefusedByUpstream => "refused_by_upstream",
            Self::Revoked => "revoked",
            Self::Scopes => "scopes",
            Self::Store => "store",
            Self::TooManyChanges => "too_many_changes",
            Self::TooManyFailures => "too_many_failures",
            Self::Unauthorized => "unauthorized",
            Self::UnknownToken => "unknown_token",
            Self::UpstreamAccount => "upstream_account",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamRateLimit => "upstream_rate_limit",
            Self::WrongLoginRequest => "wrong_login_request",
            Self::WrongMethod => "wrong_method",
            Self::WrongPath => "wrong_path",
            Self::WrongRange => "wrong_range",
            Self::WrongRequest => "wrong_request",
            Self::WrongSecret => "wrong_secret",
        }
    }

    /// Returns true for the refusals that the audit trail has: for lack of a valid credential, or of a right. What
    /// upstream refuses, and what does not exist, is no refusal of this service.
    pub(in crate::http) fn is_audited(self) -> bool {
        match self {
            Self::Blocked
            | Self::Expired
            | Self::InvalidToken
            | Self::NoAccess
            | Self::PasswordNotAccepted
            | Self::ProxyOff
            | Self::Refused
            | Self::Revoked
            | Self::Scopes
            | Self::TooManyChanges
            | Self::TooManyFailures
            | Self::Unauthorized
            | Self::UnknownToken
            | Self::WrongSecret => true,
            Self::Busy
            | Self::Internal
            | Self::LoginNeeded
            | Self::Malformed
            | Self::NoMemory
            | Self::NoRoute
            | Self::NotFound
            | Self::Offline
            | Self::Other
            | Self::ReadOnly
            | Self::RefusedByUpstream
            | Self::Store
            | Self::UpstreamAccount
            | Self::UpstreamFailed
            | Self::UpstreamRateLimit
            | Self::WrongLoginRequest
            | Self::WrongMethod
            | Self::WrongPath
            | Self::WrongRange
            | Self::WrongRequest => false,
        }
    }
}
