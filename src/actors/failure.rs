//! Why something cannot be pulled now, told apart as far as a client can do something about it. Knows no status code.

use std::time::Duration;

use crate::domain::origin::{Account, Origin};
use crate::store::error::StoreError;
use crate::upstream::{RealmError, UpstreamError};

/// What was wanted and why it cannot be had. The text is for the person who pulls.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct PullFailure {
    /// Where it would have come from.
    pub origin: Origin,
    /// What was wanted, as the user names it, such as `postgres:17`.
    pub image: String,
    /// Why it cannot be had.
    pub cause: Cause,
}

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Upstream has no such tag, manifest or blob.
    NotFound,
    /// Upstream has no such repository.
    NoRepository,
    /// Upstream refuses the repository to this account, or has none.
    Denied,
    /// Upstream's limit is reached.
    RateLimited {
        /// How many pulls in which time, where upstream said so.
        limit: Option<(u64, Duration)>,
        /// How long to wait, where upstream said so.
        retry_after: Option<Duration>,
    },
    /// No usable answer from upstream.
    Unreachable,
    /// Upstream, or a realm or storage it named, answered with what cannot be right.
    Nonsense,
    /// The configured credentials are refused, or may not be sent where upstream wants them.
    Credentials,
    /// Too much is under way here.
    Busy,
    /// The store failed.
    Store,
}

impl PullFailure {
    /// How long a client should wait before it asks again, where asking again may help.
    pub fn retry_after(&self) -> Duration {
        match self.cause {
            Cause::RateLimited { retry_after, .. } => retry_after.unwrap_or(Duration::from_secs(60)),
            Cause::Busy => Duration::from_secs(2),
            Cause::NotFound
            | Cause::NoRepository
            | Cause::Denied
            | Cause::Unreachable
            | Cause::Nonsense
            | Cause::Credentials
            | Cause::Store => Duration::from_secs(15),
        }
    }

    fn sentence(&self) -> String {
        let (upstream, image) = (&self.origin.upstream, &self.image);
        match &self.cause {
            Cause::NotFound => format!("{upstream} has no {image}"),
            Cause::NoRepository | Cause::Denied => format!(
                "{upstream} has no '{}', or it is private (asked {})",
                self.origin.repository,
                asked_as(&self.origin.account)
            ),
            Cause::RateLimited { limit, retry_after } => format!(
                "{upstream}'s pull limit is reached{} and {image} is not cached here yet",
                limit_details(*limit, *retry_after)
            ),
            Cause::Unreachable => format!("{upstream} cannot be reached and {image} is not cached here yet"),
            Cause::Nonsense => {
                format!("{upstream} gave an answer that cannot be right, and {image} is not cached here yet")
            }
            Cause::Credentials => format!(
                "{upstream} does not accept the credentials configured here, and {image} is not cached here yet"
            ),
            Cause::Busy => format!("Too many pulls at once for {image} to be fetched from {upstream} now. Try again"),
            Cause::Store => format!("{image} could not be read or stored here"),
        }
    }
}

impl From<&UpstreamError> for Cause {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::NotFound => Self::NotFound,
            UpstreamError::Denied => Self::Denied,
            UpstreamError::RateLimited(limits) => {
                Self::RateLimited { limit: limits.limit.zip(limits.window), retry_after: limits.retry_after }
            }
            UpstreamError::Unreachable { .. }
            | UpstreamError::TimedOut
            | UpstreamError::Failed { .. }
            | UpstreamError::Interrupted { .. }
            | UpstreamError::Lost => Self::Unreachable,
            UpstreamError::TokenRealm(RealmError::Refused { .. } | RealmError::Untrusted { .. }) => Self::Credentials,
            UpstreamError::TokenRealm(_) => Self::Unreachable,
            UpstreamError::Storage { .. }
            | UpstreamError::Nonsense { .. }
            | UpstreamError::ForbiddenAddress { .. }
            | UpstreamError::WrongRange
            | UpstreamError::TooLong
            | UpstreamError::NotConfigured => Self::Nonsense,
            UpstreamError::Busy => Self::Busy,
        }
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the cache could not be read or written");
        Self::Store
    }
}

/// An image as its users name it: the official ones of Docker Hub without `library/`.
pub fn image_name(origin: &Origin, reference: &str) -> String {
    let repository = origin.repository.as_str();
    let short = repository.strip_prefix("library/").filter(|_| origin.upstream.is_docker_hub()).unwrap_or(repository);
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{short}{separator}{reference}")
}

fn asked_as(account: &Account) -> String {
    match account {
        Account::Anonymous => "without credentials".to_owned(),
        Account::Username(name) => format!("as {name}"),
    }
}

/// ` (100 per 6 h, more in 47 min)`
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
            failure("library/postgres", "17", Cause::Unreachable),
            "docker.io cannot be reached and postgres:17 is not cached here yet"
        );
        assert_eq!(
            failure("library/ngnix", "latest", Cause::Denied),
            "docker.io has no 'library/ngnix', or it is private (asked without credentials)"
        );
    }
}
