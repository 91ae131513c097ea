//! The sentences of the check, and the steps that errors belong to.

use url::Url;

use super::{Check, host};
use crate::actors::pull_failure::{Cause, ConnectionFailure, Peer, PullFailure, image_name};
use crate::domain::challenge::Challenge;
use crate::domain::origin::Account;
use crate::upstream::{ContentHead, UpstreamError};

impl Check<'_> {
    pub(super) fn introduction(&self) -> String {
        let url = self.registry.url();
        match (self.is_mirror(), self.registry.has_accounts() || self.upstream.accounts.is_empty()) {
            (false, _) => format!("{url} is requested last, and decides what does not exist or is refused"),
            (true, true) => format!("{url} is requested first"),
            (true, false) => format!("{url} is requested first, without an account: its host is not in auth_hosts"),
        }
    }

    pub(super) fn connected(&self) -> String {
        let url = self.registry.url();
        let port = url.port_or_known_default().unwrap_or_default();
        let secure = if url.scheme() == "https" { "and its certificate is trusted" } else { "without TLS" };
        format!("{}:{port} responds {secure}", host(url))
    }

    /// Returns the problem in the words of a failed pull, with the details that a pull shows in the log only.
    pub(super) fn problem(&self, account: &Account, error: &UpstreamError) -> String {
        let (repository, reference) = match self.image {
            Some((repository, reference)) => (repository.clone(), reference.to_string()),
            None => match "v2".parse() {
                Ok(repository) => (repository, "latest".to_owned()),
                Err(_) => return error.to_string(),
            },
        };
        let origin = self.origin(account, repository);
        let image = image_name(&origin, &reference);
        let failure = PullFailure { origin, image, cause: Cause::from(error), is_list: false };
        match failure.cause.details().filter(|details| !details.is_empty()) {
            Some(details) => format!("{}: {details}", failure.reason()),
            None => failure.reason(),
        }
    }

    pub(super) fn step_of(&self, error: &UpstreamError, otherwise: &'static str) -> &'static str {
        if let Cause::Unreachable { peer: Peer::Registry, failure, .. } = Cause::from(error) {
            return match failure {
                ConnectionFailure::NameResolution => "DNS",
                ConnectionFailure::Tls => "TLS",
                ConnectionFailure::Refused
                | ConnectionFailure::Closed
                | ConnectionFailure::InvalidHttp
                | ConnectionFailure::TimedOut
                | ConnectionFailure::Proxy
                | ConnectionFailure::Network => "connect",
            };
        }
        if matches!(error, UpstreamError::TokenRealm(_)) {
            "token"
        } else if otherwise == "challenge" && *error == UpstreamError::TimedOut {
            // Behind a proxy it is not known which step it was.
            "connect"
        } else {
            otherwise
        }
    }
}

pub(super) fn described(challenge: Option<&Challenge>) -> String {
    match challenge {
        None => "no login is required".to_owned(),
        Some(Challenge::Basic) => "user name and password are required at the registry itself".to_owned(),
        Some(Challenge::Bearer(bearer)) => {
            let realm = Url::parse(&bearer.realm).ok().map(|realm| realm.origin().ascii_serialization() + realm.path());
            format!("tokens are at {}", realm.unwrap_or_else(|| "a realm that is no address".to_owned()))
        }
    }
}

pub(super) fn found(image: &str, account: &Account, head: &ContentHead) -> String {
    let who = match account {
        Account::Anonymous => "without credentials".to_owned(),
        Account::Username(name) | Account::OfGroup { username: name, .. } => format!("as {name}"),
    };
    match head.digest {
        Some(digest) => format!("{image} can be pulled {who}: {digest}"),
        None => format!("{image} can be pulled {who}"),
    }
}
