//! Reasons why something cannot be pulled now: one cause for each thing that a client or the operator can do about
//! it. This module assigns no HTTP status of this service. The last column of the table is for reference; a unit
//! test of `http::error` checks it.
//!
//! | cause | message, after the upstream's name | counts against | status |
//! |---|---|---|---|
//! | [`NotFound`](Cause::NotFound) | has no *image* | nothing | 404 |
//! | [`NoRepository`](Cause::NoRepository) | has no '*repository*', or it is private | nothing | 404 |
//! | [`Denied`](Cause::Denied) | has no '*repository*', or it is private, and upstream's message | nothing | 403 |
//! | [`Refused`](Cause::Refused) | refuses *image* (HTTP status), and upstream's message | nothing | upstream's |
//! | [`Unusable`](Cause::Unusable) | has *image* in a form that cannot be used | nothing | 403 |
//! | [`RateLimited`](Cause::RateLimited) | 's pull limit is reached | account | 503 |
//! | [`AccountRefused`](Cause::AccountRefused) | refuses the login of account *name* | account | 503 |
//! | [`AccountGraceOver`](Cause::AccountGraceOver) | the same, longer than allowed | account | 503 |
//! | [`AccountUntrusted`](Cause::AccountUntrusted) | sends the login to a host that is not listed | account | 503 |
//! | [`RealmFailed`](Cause::RealmFailed) | 's token realm is out of order (HTTP status) | account | 503 |
//! | [`Unreachable`](Cause::Unreachable) | cannot be reached (and the kind of failure) | upstream[^1] | 503 |
//! | [`TimedOut`](Cause::TimedOut) | did not respond in time | upstream | 503 |
//! | [`ServerError`](Cause::ServerError) | is out of order (HTTP status) | repository[^2] | 503 |
//! | [`Interrupted`](Cause::Interrupted) | broke off in the middle | repository | 503 |
//! | [`InvalidResponse`](Cause::InvalidResponse) | sent an invalid response | repository | 503 |
//! | [`ForbiddenAddress`](Cause::ForbiddenAddress) | leads to an address that is not allowed | repository | 503 |
//! | [`NoMemory`](Cause::NoMemory) | (names no upstream) the memory for *image* is taken | nothing | 503 |
//! | [`Busy`](Cause::Busy) | too many pulls at once | nothing | 503 |
//! | [`Store`](Cause::Store) | (names no upstream) *image* could not be read or stored | nothing | 503 |
//! | [`Internal`](Cause::Internal) | (names no upstream) a fault of this service | nothing | 503 |
//!
//! [^1]: A host to which upstream redirects and that cannot be reached counts as a server error does.
//!
//! [^2]: And against the upstream, once a second repository fails.
//!
//! Kinds of connection failures: DNS, connection refused, TLS, connection closed, proxy, other network errors.

use std::time::Duration;

use super::memory_budget::{CollectError, NoMemory};
use crate::domain::origin::{Account, Origin};
pub use crate::upstream::ConnectionFailure;
use crate::upstream::{RealmError, UpstreamError};

/// A failed pull: the requested image and the cause. The text is for the person who pulls.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct PullFailure {
    /// The upstream, account and repository of the image.
    pub origin: Origin,
    /// The requested image as the user names it, such as `postgres:17`.
    pub image: String,
    /// The cause of the failure.
    pub cause: Cause,
}

/// Cause of a failed pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Upstream has no such tag, manifest or blob.
    NotFound,
    /// Upstream has no such repository.
    NoRepository,
    /// Upstream refuses the repository to this account, or has no such repository.
    Denied {
        /// Upstream's error message, where it adds information.
        message: Option<String>,
    },
    /// Upstream refuses the request permanently, with another 4xx status.
    Refused {
        /// Upstream's HTTP status.
        status: u16,
        /// Upstream's error code.
        code: Option<String>,
        /// Upstream's error message.
        message: Option<String>,
    },
    /// Upstream has the image only in a form that this service cannot use, now or later.
    Unusable {
        /// The problem, as it follows "has *image*" in the message.
        problem: String,
    },
    /// Upstream's pull limit is reached.
    RateLimited {
        /// Number of pulls and the time for which it holds, where upstream reports them.
        limit: Option<(u64, Duration)>,
        /// Time to wait, where upstream reports it.
        retry_after: Option<Duration>,
    },
    /// Upstream refuses the configured credentials, regardless of the image.
    AccountRefused,
    /// Upstream refuses the configured credentials, and the tag was last confirmed with them longer ago than
    /// `cache.account_grace`.
    AccountGraceOver,
    /// Upstream requests the configured credentials for a host to which they may not be sent.
    AccountUntrusted {
        /// That host.
        host: String,
    },
    /// Upstream's token realm responded with a status that is neither success nor a refusal of the login.
    RealmFailed {
        /// The realm's HTTP status.
        status: u16,
        /// The realm's error message.
        message: Option<String>,
    },
    /// No connection could be made to upstream, or to a host that it refers to.
    Unreachable {
        /// The host that could not be reached.
        peer: Peer,
        /// The kind of failure.
        failure: ConnectionFailure,
        /// Details for the log.
        reason: String,
    },
    /// Upstream did not respond in time.
    TimedOut,
    /// Upstream, or a gateway in front of it, reports an error of its own: a 5xx status, or a 4xx status
    /// that asks to try again later.
    ServerError {
        /// Upstream's HTTP status.
        status: u16,
        /// Upstream's error message.
        message: Option<String>,
    },
    /// The response ended before it was complete.
    Interrupted {
        /// Details for the log.
        reason: String,
    },
    /// Upstream, or a token realm or storage that it refers to, sent an invalid response.
    InvalidResponse {
        /// The problem with the response.
        what: String,
    },
    /// Upstream refers to an address to which this service does not connect.
    ForbiddenAddress {
        /// The host with that address.
        host: String,
    },
    /// A limit of this service is reached.
    Busy,
    /// The memory for large manifests and lists is in use.
    NoMemory,
    /// The store failed.
    Store,
    /// A fault of this service.
    Internal,
}

/// A host that takes part in a pull from an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The registry itself.
    Registry,
    /// A host to which the registry redirects.
    Redirect(String),
    /// The host of the realm that issues the registry's tokens.
    TokenRealm(String),
}

/// Scope of a failure: requests in this scope back off because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountsAgainst {
    /// The whole upstream.
    Upstream,
    /// The account that the request was sent with.
    Account,
    /// The repository, and the upstream as soon as a second repository fails in the same way.
    RepositoryThenUpstream,
    /// The repository alone.
    Repository,
    /// Nothing: the response shows that upstream works.
    Nothing,
    /// Nothing: upstream had no part in the failure.
    NotUpstream,
}

impl Cause {
    /// Returns the scope in which requests back off because of this failure.
    pub fn counts_against(&self) -> CountsAgainst {
        match self {
            Self::NotFound
            | Self::NoRepository
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. } => CountsAgainst::Nothing,
            Self::RateLimited { .. }
            | Self::AccountRefused
            | Self::AccountGraceOver
            | Self::AccountUntrusted { .. }
            | Self::RealmFailed { .. } => CountsAgainst::Account,
            Self::ServerError { .. } | Self::Unreachable { peer: Peer::Redirect(_), .. } => {
                CountsAgainst::RepositoryThenUpstream
            }
            Self::Unreachable { .. } | Self::TimedOut => CountsAgainst::Upstream,
            Self::Interrupted { .. } | Self::InvalidResponse { .. } | Self::ForbiddenAddress { .. } => {
                CountsAgainst::Repository
            }
            Self::Busy | Self::NoMemory | Self::Store | Self::Internal => CountsAgainst::NotUpstream,
        }
    }

    /// Returns true if upstream has decided that this account may not have the content, or that it is
    /// gone permanently or for legal reasons (402, 410 and 451; RFC 9110, section 15.5; RFC 7725). A
    /// cached copy is not served stale then.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Refused { status: 402 | 410 | 451, .. })
    }

    /// Returns details that are logged beside the message and not shown to clients.
    pub fn details(&self) -> Option<&str> {
        if let Self::Unreachable { reason: details, .. }
        | Self::Interrupted { reason: details }
        | Self::ForbiddenAddress { host: details } = self
        {
            Some(details)
        } else {
            None
        }
    }
}

impl PullFailure {
    /// Returns the time that a client should wait before its next request, where a later request may succeed.
    pub fn retry_after(&self) -> Duration {
        if let Cause::RateLimited { retry_after, .. } = self.cause {
            retry_after.unwrap_or(Duration::from_secs(60))
        } else if self.cause == Cause::Busy {
            Duration::from_secs(2)
        } else if self.cause == Cause::NoMemory {
            Duration::from_secs(5)
        } else {
            Duration::from_secs(15)
        }
    }

    fn sentence(&self) -> String {
        let (reason, image) = (self.reason(), &self.image);
        match &self.cause {
            Cause::NotFound
            | Cause::NoRepository
            | Cause::Denied { .. }
            | Cause::Refused { .. }
            | Cause::Unusable { .. }
            | Cause::Busy
            | Cause::NoMemory
            | Cause::Store
            | Cause::Internal => reason,
            Cause::AccountUntrusted { .. } => format!("{reason}, and {image} is not cached here yet"),
            Cause::AccountGraceOver => {
                format!("{reason}, and it was last accepted for {image} longer ago than cache.account_grace")
            }
            Cause::RateLimited { .. }
            | Cause::AccountRefused
            | Cause::RealmFailed { .. }
            | Cause::Unreachable { .. }
            | Cause::TimedOut
            | Cause::ServerError { .. }
            | Cause::Interrupted { .. }
            | Cause::InvalidResponse { .. }
            | Cause::ForbiddenAddress { .. } => format!("{reason} and {image} is not cached here yet"),
        }
    }

    /// Returns the cause as a sentence that does not say whether an older copy could be served.
    pub fn reason(&self) -> String {
        let Self { origin: Origin { upstream, account, .. }, image, cause } = self;
        match cause {
            Cause::NotFound => format!("{upstream} has no {image}"),
            Cause::NoRepository => self.no_repository(),
            Cause::Denied { message } => format!("{}{}", self.no_repository(), quoted(message.as_deref())),
            Cause::Refused { status, message, .. } => {
                format!("{upstream} refuses {image} with HTTP status {status}{}", quoted(message.as_deref()))
            }
            Cause::Unusable { problem } => format!("{upstream} has {image} {problem}"),
            Cause::RateLimited { limit, retry_after } => {
                format!("{upstream}'s pull limit is reached{}", limit_details(*limit, *retry_after))
            }
            Cause::AccountRefused | Cause::AccountGraceOver => {
                format!("The login of {} is refused by {upstream}", account_name(account))
            }
            Cause::AccountUntrusted { host } => {
                let name = account_name(account);
                format!("{upstream} wants the login of {name} at {host}, which is not in its auth_hosts")
            }
            Cause::RealmFailed { status, message } => {
                format!("{upstream}'s token realm is out of order (HTTP status {status}{})", quoted(message.as_deref()))
            }
            Cause::Unreachable { peer, failure, .. } => match peer {
                Peer::Registry => format!("{upstream} cannot be reached ({failure})"),
                Peer::Redirect(host) => {
                    format!("{upstream} cannot be reached ({host}, to which it redirects: {failure})")
                }
                Peer::TokenRealm(host) => format!("{upstream} cannot be reached (its token realm {host}: {failure})"),
            },
            Cause::TimedOut => format!("{upstream} cannot be reached (it did not respond in time)"),
            Cause::ServerError { status, message } => {
                format!("{upstream} is out of order (HTTP status {status}{})", quoted(message.as_deref()))
            }
            Cause::Interrupted { .. } => format!("{upstream} broke off in the middle of its response"),
            Cause::InvalidResponse { what } => format!("{upstream} sent an invalid response ({what})"),
            Cause::ForbiddenAddress { .. } => {
                format!("{upstream} leads to an address that is neither public nor listed for it")
            }
            Cause::Busy => format!("Too many pulls at once for {image} to be fetched from {upstream} now. Try again"),
            Cause::NoMemory => format!(
                "The memory for {image} is taken by large manifests and lists on their way to other clients. Try again"
            ),
            Cause::Store => format!("{image} could not be read or stored here"),
            Cause::Internal => format!("{image} could not be fetched because of a fault of this service"),
        }
    }

    fn no_repository(&self) -> String {
        let Origin { upstream, account, repository } = &self.origin;
        format!("{upstream} has no '{repository}', or it is private (asked {})", account_phrase(account))
    }
}

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
            UpstreamError::Busy => Self::Busy,
            UpstreamError::Spared(error) => Self::from(&*error),
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

/// Returns the name of an image as its users write it: official images of Docker Hub without `library/`.
pub fn image_name(origin: &Origin, reference: &str) -> String {
    let repository = origin.repository.as_str();
    let short = repository.strip_prefix("library/").filter(|_| origin.upstream.is_docker_hub()).unwrap_or(repository);
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{short}{separator}{reference}")
}

fn account_phrase(account: &Account) -> String {
    match account {
        Account::Anonymous => "without credentials".to_owned(),
        Account::Username(name) => format!("as {name}"),
    }
}

/// Returns upstream's message in quotes after a colon, or nothing.
fn quoted(message: Option<&str>) -> String {
    message.map(|text| format!(": \"{text}\"")).unwrap_or_default()
}

fn account_name(account: &Account) -> String {
    match account {
        Account::Anonymous => "nobody".to_owned(),
        Account::Username(name) => format!("account '{name}'"),
    }
}

/// Returns the details of a pull limit, such as ` (100 per 6 h, more in 47 min)`, or nothing.
fn limit_details(limit: Option<(u64, Duration)>, retry_after: Option<Duration>) -> String {
    let limit = limit.map(|(pulls, window)| format!("{pulls} per {}", roughly(window)));
    let retry = retry_after.map(|wait| format!("more in {}", roughly(wait)));
    let details: Vec<String> = limit.into_iter().chain(retry).collect();
    if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) }
}

fn roughly(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn failure(repository: &str, reference: &str, cause: Cause) -> String {
        let origin = Origin {
            upstream: "docker.io".parse().unwrap(),
            account: Account::Anonymous,
            repository: repository.parse().unwrap(),
        };
        let image = image_name(&origin, reference);
        PullFailure { origin, image, cause }.to_string()
    }

    #[test]
    fn the_sentences_say_what_to_do() {
        let limit = Some((100, Duration::from_secs(21_600)));
        let limited = Cause::RateLimited { limit, retry_after: Some(Duration::from_secs(47 * 60)) };
        assert_eq!(
            failure("library/postgres", "17", limited),
            "docker.io's pull limit is reached (100 per 6 h, more in 47 min) and postgres:17 is not cached here yet"
        );
        assert_eq!(
            failure("library/ngnix", "latest", Cause::Denied { message: None }),
            "docker.io has no 'library/ngnix', or it is private (asked without credentials)"
        );
        let blocked = Cause::Denied { message: Some("blocked by policy 7".to_owned()) };
        assert_eq!(
            failure("library/ngnix", "latest", blocked),
            "docker.io has no 'library/ngnix', or it is private (asked without credentials): \"blocked by policy 7\""
        );
    }
}
