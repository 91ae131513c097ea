//! The sentences of failed pulls, for the person who pulls. States no status and decides nothing.

use std::time::Duration;

use super::{Cause, ConnectionFailure, Peer, PullFailure, Reader, ReservedFor};
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::UpstreamName;

impl PullFailure {
    /// Returns the cause as a sentence for this reader that states what to do, where something can be done.
    pub fn sentence_for(&self, reader: Reader) -> String {
        let (reason, image) = (self.reason_for(reader), &self.image);
        let not_cached = if self.is_list { "comes from the registry alone" } else { "is not cached here yet" };
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
            Cause::AccountUntrusted { .. } | Cause::AccountUnreadable => {
                format!("{reason}, and {image} {not_cached}")
            }
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
            | Cause::Reserved(_)
            | Cause::Offline
            | Cause::ForbiddenAddress { .. } => format!("{reason} and {image} {not_cached}"),
        }
    }

    /// Returns the cause as a sentence that does not mention older copies, for a reader who belongs to the group.
    pub fn reason(&self) -> String {
        self.reason_for(Reader::OfGroup)
    }

    /// Returns the cause as a sentence for this reader that does not mention older copies.
    pub fn reason_for(&self, reader: Reader) -> String {
        let Self { origin: Origin { upstream, account, .. }, image, cause, is_list: _ } = self;
        let quoted = |message: &Option<String>| self.quoted(message.as_deref(), reader);
        match cause {
            Cause::NotFound => format!("{upstream} has no {image}"),
            Cause::NoRepository => self.no_repository(reader),
            Cause::Denied { message } => format!("{}{}", self.no_repository(reader), quoted(message)),
            Cause::Refused { status, message, .. } => {
                format!("{upstream} refuses {image} with HTTP status {status}{}", quoted(message))
            }
            Cause::Unusable { problem } => format!("{upstream} has {image} {problem}"),
            Cause::RateLimited { limit, retry_after } => {
                format!("{upstream}'s pull limit is reached{}", limit_details(*limit, *retry_after))
            }
            Cause::Reserved(ReservedFor::Misses) => {
                format!("{upstream}'s pull limit is nearly reached, the rest is kept for images that are not cached")
            }
            Cause::Reserved(ReservedFor::OtherGroups) => {
                format!("{upstream}'s pull limit is nearly reached, this group has used its share of the rest")
            }
            Cause::AccountRefused | Cause::AccountGraceOver => {
                format!("The login of {} is refused by {upstream}", account_name(account, reader))
            }
            Cause::AccountUntrusted { host } => {
                let name = account_name(account, reader);
                format!("{upstream} wants the login of {name} at {host}, which is not in its auth_hosts")
            }
            Cause::AccountUnreadable => {
                let name = account_name(account, reader);
                format!(
                    "The password of {name} at {upstream} cannot be decrypted: an owner of its group can set it again"
                )
            }
            Cause::RealmFailed { status, message } => {
                format!("{upstream}'s token realm is out of order (HTTP status {status}{})", quoted(message))
            }
            Cause::Unreachable { peer, failure, .. } => unreachable(upstream, peer, *failure),
            Cause::TimedOut => format!("{upstream} cannot be reached (it did not respond in time)"),
            Cause::ServerError { status, message } => {
                format!("{upstream} is out of order (HTTP status {status}{})", quoted(message))
            }
            Cause::Interrupted { .. } => format!("{upstream} broke off in the middle of its response"),
            Cause::InvalidResponse { what } => format!("{upstream} sent an invalid response ({what})"),
            Cause::ForbiddenAddress { .. } => {
                format!("{upstream} leads to an address that is neither public nor listed for it")
            }
            Cause::Offline => "This service is offline (proxy.network_mode)".to_owned(),
            Cause::Busy => format!("Too many pulls at once for {image} to be fetched from {upstream} now. Try again"),
            Cause::NoMemory => format!(
                "The memory for {image} is taken by large manifests and lists on their way to other clients. Try again"
            ),
            Cause::Store => format!("{image} could not be read or stored here"),
            Cause::Internal => format!("{image} could not be fetched because of a fault of this service"),
        }
    }

    fn no_repository(&self, reader: Reader) -> String {
        let Origin { upstream, account, repository } = &self.origin;
        format!("{upstream} has no '{repository}', or it is private (requested {})", account_phrase(account, reader))
    }

    /// Returns upstream's message in quotes after a colon; nothing if there is none, or if it names the account to a
    /// stranger.
    fn quoted(&self, message: Option<&str>, reader: Reader) -> String {
        let username = self.origin.account.username();
        let may_read = |text: &&str| reader == Reader::OfGroup || username.is_empty() || !text.contains(username);
        message.filter(may_read).map(|text| format!(": \"{text}\"")).unwrap_or_default()
    }
}

/// Returns the name of an image as its users write it: official images of Docker Hub without `library/`.
pub fn image_name(origin: &Origin, reference: &str) -> String {
    let repository = origin.repository.as_str();
    let short = repository.strip_prefix("library/").filter(|_| origin.upstream.is_docker_hub()).unwrap_or(repository);
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{short}{separator}{reference}")
}

fn unreachable(upstream: &UpstreamName, peer: &Peer, failure: ConnectionFailure) -> String {
    match peer {
        Peer::Registry => format!("{upstream} cannot be reached ({failure})"),
        Peer::Redirect(host) => format!("{upstream} cannot be reached ({host}, to which it redirects: {failure})"),
        Peer::TokenRealm(host) => format!("{upstream} cannot be reached (its token realm {host}: {failure})"),
    }
}

fn account_phrase(account: &Account, reader: Reader) -> String {
    match account {
        Account::Anonymous => "without credentials".to_owned(),
        _ if reader == Reader::Stranger => "with the account of this cache".to_owned(),
        Account::Username(name) | Account::OfGroup { username: name, .. } => format!("as {name}"),
    }
}

fn account_name(account: &Account, reader: Reader) -> String {
    match account {
        Account::Anonymous => "nobody".to_owned(),
        _ if reader == Reader::Stranger => "the account of this cache".to_owned(),
        Account::Username(name) | Account::OfGroup { username: name, .. } => format!("account '{name}'"),
    }
}

/// Returns the details of a pull limit, such as ` (100 per 6 h, more in 47 min)`, or nothing.
fn limit_details(limit: Option<(u64, Duration)>, retry_after: Option<Duration>) -> String {
    let limit = limit.map(|(pulls, window)| format!("{pulls} per {}", roughly(window)));
    let retry = retry_after.filter(|wait| !wait.is_zero()).map(|wait| format!("more in {}", roughly(wait)));
    let details: Vec<String> = limit.into_iter().chain(retry).collect();
    if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) }
}

/// Returns a time in one unit, rounded up: nothing is there before.
fn roughly(time: Duration) -> String {
    match time.as_secs() + u64::from(time.subsec_nanos() > 0) {
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
        PullFailure { origin, image, cause, is_list: false }.to_string()
    }

    #[test]
    fn the_sentences_say_what_to_do() {
        let limit = Some((100, Duration::from_secs(21_600)));
        let limited = Cause::RateLimited { limit, retry_after: Some(Duration::from_secs(47 * 60)) };
        assert_eq!(
            failure("library/postgres", "17", limited),
            "docker.io's pull limit is reached (100 per 6 h, more in 47 min) and postgres:17 is not cached here yet"
        );
        for (wait, details) in [(0, ""), (1, " (more in 1 s)"), (59_001, " (more in 1 min)")] {
            let limited = Cause::RateLimited { limit: None, retry_after: Some(Duration::from_millis(wait)) };
            let sentence = format!("docker.io's pull limit is reached{details} and postgres:17 is not cached here yet");
            assert_eq!(failure("library/postgres", "17", limited), sentence);
        }
        assert_eq!(
            failure("library/ngnix", "latest", Cause::Denied { message: None }),
            "docker.io has no 'library/ngnix', or it is private (requested without credentials)"
        );
        let blocked = Cause::Denied { message: Some("blocked by policy 7".to_owned()) };
        assert_eq!(
            failure("library/ngnix", "latest", blocked),
            "docker.io has no 'library/ngnix', or it is private (requested without credentials): \"blocked by policy 7\""
        );
    }

    #[test]
    fn a_list_is_not_said_to_be_cached_later() {
        let of_image = failure("library/app", "1", Cause::Offline);
        assert_eq!(of_image, "This service is offline (proxy.network_mode) and app:1 is not cached here yet");
        let origin = Origin {
            upstream: "docker.io".parse().unwrap(),
            account: Account::Anonymous,
            repository: "library/app".parse().unwrap(),
        };
        let image = "the list of tags of library/app".to_owned();
        let of_list = PullFailure { origin, image, cause: Cause::Offline, is_list: true };
        assert_eq!(
            of_list.to_string(),
            "This service is offline (proxy.network_mode) and the list of tags of library/app comes from the registry \
             alone"
        );
    }
}
