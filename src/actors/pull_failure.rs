//! Reasons why something cannot be pulled now: one cause for each thing that a client or the operator can do about
//! it. This module assigns no HTTP status of this service. The last column of the table is for reference; a unit
//! test of `http::registry::error` checks it.
//!
//! | cause | message, after the upstream's name | counts against | status |
//! |---|---|---|---|
//! | [`NotFound`](Cause::NotFound) | has no *image* | nothing | 404 |
//! | [`NoRepository`](Cause::NoRepository) | has no '*repository*', or it is private | nothing | 404 |
//! | [`Denied`](Cause::Denied) | has no '*repository*', or it is private, and upstream's message | nothing | 403 |
//! | [`Refused`](Cause::Refused) | refuses *image* (HTTP status), and upstream's message | nothing | upstream's |
//! | [`Unusable`](Cause::Unusable) | has *image* in a form that cannot be used | nothing | 403 |
//! | [`RateLimited`](Cause::RateLimited) | 's pull limit is reached | nothing[^3] | 503 |
//! | [`Reserved`](Cause::Reserved) | 's pull limit is nearly reached | nothing | 503 |
//! | [`AccountRefused`](Cause::AccountRefused) | refuses the login of account *name* | account | 503 |
//! | [`AccountGraceOver`](Cause::AccountGraceOver) | the same, longer than allowed | account | 503 |
//! | [`AccountUntrusted`](Cause::AccountUntrusted) | sends the login to a host that is not listed | account | 503 |
//! | [`AccountUnreadable`](Cause::AccountUnreadable) | (names no upstream) the group's account cannot be used | nothing | 503 |
//! | [`RealmFailed`](Cause::RealmFailed) | 's token realm is out of order (HTTP status) | account | 503 |
//! | [`Unreachable`](Cause::Unreachable) | cannot be reached (and the kind of failure) | upstream[^1] | 503 |
//! | [`TimedOut`](Cause::TimedOut) | did not respond in time | upstream | 503 |
//! | [`ServerError`](Cause::ServerError) | is out of order (HTTP status) | repository[^2] | 503 |
//! | [`Interrupted`](Cause::Interrupted) | broke off in the middle | repository | 503 |
//! | [`InvalidResponse`](Cause::InvalidResponse) | sent an invalid response | repository | 503 |
//! | [`ForbiddenAddress`](Cause::ForbiddenAddress) | leads to an address that is not allowed | repository | 503 |
//! | [`Offline`](Cause::Offline) | (names no upstream) this service is offline | nothing | 503 |
//! | [`NoMemory`](Cause::NoMemory) | (names no upstream) the memory for *image* is taken | nothing | 503 |
//! | [`Busy`](Cause::Busy) | too many pulls at once | nothing | 503 |
//! | [`Store`](Cause::Store) | (names no upstream) *image* could not be read or stored | nothing | 503 |
//! | [`Internal`](Cause::Internal) | (names no upstream) a fault of this service | nothing | 503 |
//!
//! [^1]: A host to which upstream redirects and that cannot be reached counts as a server error does.
//!
//! [^2]: And against the upstream, once a second repository fails.
//!
//! [^3]: `actors::upstream_fetcher::gates` holds the requests of the account.
//!
//! Kinds of connection failures: DNS, connection refused, TLS, connection closed, proxy, other network errors.

mod conversion;
mod sentence;

use std::time::Duration;

pub use self::sentence::image_name;
use crate::domain::origin::Origin;
pub use crate::upstream::{ConnectionFailure, ReservedFor};

/// A failed pull: the requested image and the cause. The text is for the person who pulls.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.sentence_for(Reader::OfGroup))]
pub struct PullFailure {
    /// The upstream, account and repository of the image.
    pub origin: Origin,
    /// The requested image as the user names it, such as `postgres:17`.
    pub image: String,
    /// The cause of the failure.
    pub cause: Cause,
    /// True for a list, which is never cached.
    pub is_list: bool,
}

/// Reader of a sentence about a failed pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A member of the group, one of its tokens, an administrator, or an operator.
    OfGroup,
    /// A caller who may pull only because the group is public, and does not learn the names of accounts at registries.
    Stranger,
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
    /// Upstream's pull limit is nearly reached, and what is left is kept for others.
    Reserved(ReservedFor),
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
    /// The password of the group's account cannot be decrypted.
    AccountUnreadable,
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
    /// Upstream, or a gateway in front of it, reports an error of its own: a 5xx status, or a 4xx status that means
    /// that the client may try again later.
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
    /// This service does not contact upstreams at present.
    Offline,
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
    /// Nothing: upstream had no part in the failure, or it is not one that ends by itself after a backoff.
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
            Self::AccountRefused
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
            Self::RateLimited { .. }
            | Self::Reserved(_)
            | Self::AccountUnreadable
            | Self::Offline
            | Self::Busy
            | Self::NoMemory
            | Self::Store
            | Self::Internal => CountsAgainst::NotUpstream,
        }
    }

    /// Returns true if upstream has decided that this account may not have the content, or that it is
    /// gone permanently or for legal reasons (402, 410 and 451; RFC 9110, section 15.5; RFC 7725). A
    /// cached copy is not served stale then.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Refused { status: 402 | 410 | 451, .. })
    }

    /// Returns true if the same request may succeed a little later. False for a reached limit, which ends at a time of
    /// its own.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::RealmFailed { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut
            | Self::ServerError { .. }
            | Self::Interrupted { .. }
            | Self::InvalidResponse { .. }
            | Self::Busy
            | Self::NoMemory => true,
            Self::NotFound
            | Self::NoRepository
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. }
            | Self::RateLimited { .. }
            | Self::Reserved(_)
            | Self::AccountRefused
            | Self::AccountGraceOver
            | Self::AccountUntrusted { .. }
            | Self::AccountUnreadable
            | Self::ForbiddenAddress { .. }
            | Self::Offline
            | Self::Store
            | Self::Internal => false,
        }
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
            // Rounded up, so that a client that waits for this time is not too early.
            Duration::from_secs(retry_after.map_or(60, |wait| wait.as_secs_f64().ceil() as u64))
        } else if matches!(self.cause, Cause::Reserved(_) | Cause::Offline) {
            Duration::from_secs(300)
        } else if self.cause == Cause::Busy {
            Duration::from_secs(2)
        } else if self.cause == Cause::NoMemory {
            Duration::from_secs(5)
        } else {
            Duration::from_secs(15)
        }
    }
}
