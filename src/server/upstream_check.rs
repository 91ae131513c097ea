//! Check of the connection to one registry, step by step, with the client, addresses, certificate authorities and
//! accounts that the service uses. Stores nothing and does not listen. Steps contain no secrets.

mod image;
mod silence;

use std::net::SocketAddr;

use tokio::net::lookup_host;
use url::Url;

pub use self::image::default_image;

use self::image::resolved;
use crate::actors::pull_failure::{Cause, ConnectionFailure, Peer, PullFailure, image_name};
use crate::domain::challenge::Challenge;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::domain::repository::Repository;
use crate::domain::takeover::Credential;
use crate::settings::Settings;
use crate::upstream::{ContentHead, HttpProxy, ManifestHead, Registry, SetupError, UpstreamError, UpstreamOptions};

/// Result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStep {
    /// `DNS`, `connect`, `TLS`, `challenge`, `token` or `manifest`.
    pub name: &'static str,
    /// The finding, or the problem.
    pub found: Result<String, String>,
}

/// Reason why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamCheckError {
    /// No such upstream is configured, or it is switched off.
    #[error("there is no upstream '{name}'; configured are {}", .known.join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names of those that are configured.
        known: Vec<String>,
    },
    /// The image cannot be pulled through this service.
    #[error("{0}")]
    Image(String),
    /// The settings of the upstream cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The check of one upstream.
struct Check<'a> {
    upstream: &'a UpstreamOptions,
    registry: Registry,
    image: Option<(Repository, Reference)>,
}

/// Checks one upstream and each of its accounts. `image` is a repository, written as in a pull after the upstream's
/// name, with its reference. `report` receives each step when it ends. Returns the name of the first step that
/// failed. Must be called within a tokio runtime.
///
/// # Errors
/// The upstream or the image does not exist in these settings, or the upstream's settings cannot be used.
pub async fn check_upstream(
    settings: &Settings,
    name: &str,
    image: Option<(&str, &Reference)>,
    report: impl FnMut(&UpstreamStep),
) -> Result<Option<&'static str>, UpstreamCheckError> {
    let unknown = || UpstreamCheckError::Unknown {
        name: name.to_owned(),
        known: settings.upstreams.iter().map(|upstream| upstream.name.to_string()).collect(),
    };
    let upstream = settings.upstreams.iter().find(|known| known.name.as_str() == name).ok_or_else(unknown)?;
    let image = match image {
        Some((path, reference)) => Some(resolved(settings, name, path, reference)?),
        None => None,
    };
    let registry = Registry::new(upstream.clone())?;
    Ok(Check { upstream, registry, image }.run(report).await)
}

impl Check<'_> {
    async fn run(&self, mut report: impl FnMut(&UpstreamStep)) -> Option<&'static str> {
        let mut first_failure = None;
        let mut step = |name, found: Result<String, String>| {
            let failed = found.is_err();
            report(&UpstreamStep { name, found });
            if failed && first_failure.is_none() {
                first_failure = Some(name);
            }
            !failed
        };
        if !step("DNS", self.resolve().await) {
            return first_failure;
        }
        let challenge = match self.registry.challenge().await {
            Ok(challenge) => challenge,
            Err(UpstreamError::TimedOut) if !self.uses_proxy() => {
                for (name, found) in silence::find(self.upstream).await {
                    step(name, found);
                }
                return first_failure;
            }
            Err(error) => {
                if !is_connection(&error) {
                    step("connect", Ok(self.connected()));
                }
                step(self.step_of(&error, "challenge"), Err(self.problem(&Account::Anonymous, &error)));
                return first_failure;
            }
        };
        step("connect", Ok(self.connected()));
        step("challenge", Ok(described(challenge.as_ref())));
        for account in self.accounts() {
            let credentials = self.credentials(&account);
            let mut is_accepted = credentials.is_empty();
            for credential in credentials {
                let logged_in = self.log_in(&account, credential, challenge.clone()).await;
                is_accepted |= step("token", logged_in);
            }
            if is_accepted {
                let (name, found) = self.manifest(&account).await;
                step(name, found);
            }
        }
        first_failure
    }

    /// Returns the configured accounts, or the anonymous one if there are none.
    fn accounts(&self) -> Vec<Account> {
        let names = self.upstream.accounts.iter().map(|account| Account::Username(account.username.clone()));
        let names: Vec<Account> = names.collect();
        if names.is_empty() { vec![Account::Anonymous] } else { names }
    }

    /// Returns the credentials of this account; none for the anonymous one.
    fn credentials(&self, account: &Account) -> Vec<Credential> {
        let Account::Username(name) = account else { return Vec::new() };
        let configured = self.upstream.accounts.iter().find(|account| account.username == *name);
        match configured.and_then(|account| account.second.as_ref()) {
            Some(_) => vec![Credential::First, Credential::Second],
            None => vec![Credential::First],
        }
    }

    async fn resolve(&self) -> Result<String, String> {
        if let HttpProxy::At(proxy) = &self.upstream.connection.proxy {
            return Ok(format!("left to the HTTP proxy {}", proxy.host_str().unwrap_or_default()));
        }
        let url = &self.upstream.url;
        let (host, port) = (host(url), url.port_or_known_default().unwrap_or(443));
        match lookup_host((host, port)).await {
            Ok(found) => {
                let found: Vec<String> = found.map(|address: SocketAddr| address.ip().to_string()).collect();
                Ok(format!("{host} is {}", found.join(", ")))
            }
            Err(_) if self.upstream.connection.proxy == HttpProxy::Environment && has_proxy_variable() => {
                Ok(format!("{host} has no address here; the HTTP proxy of the environment may know one"))
            }
            Err(error) => Err(format!("{host} has no address: {error}")),
        }
    }

    fn uses_proxy(&self) -> bool {
        match &self.upstream.connection.proxy {
            HttpProxy::At(_) => true,
            HttpProxy::Environment => has_proxy_variable(),
            HttpProxy::None => false,
        }
    }

    fn connected(&self) -> String {
        let url = &self.upstream.url;
        let port = url.port_or_known_default().unwrap_or_default();
        let secure = if url.scheme() == "https" { "and its certificate is trusted" } else { "without TLS" };
        format!("{}:{port} responds {secure}", host(url))
    }

    /// Logs in with this credential and returns the outcome.
    async fn log_in(
        &self,
        account: &Account,
        credential: Credential,
        challenge: Option<Challenge>,
    ) -> Result<String, String> {
        let Account::Username(name) = account else { return Ok("without an account".to_owned()) };
        let which = match credential {
            Credential::First => "",
            Credential::Second => " with its second_password",
        };
        let Some(challenge) = challenge else {
            return Ok(format!("account '{name}'{which} is not asked for: no login is required"));
        };
        match self.registry.log_in(account, credential, challenge).await {
            Ok(()) => Ok(format!("account '{name}'{which} is accepted")),
            Err(error) if credential == Credential::Second => {
                Err(format!("{} (with its second_password)", self.problem(account, &error)))
            }
            Err(error) => Err(self.problem(account, &error)),
        }
    }

    /// Requests the manifest with this account. Returns the outcome, and the step that it belongs to.
    async fn manifest(&self, account: &Account) -> (&'static str, Result<String, String>) {
        let Some((repository, reference)) = &self.image else {
            return ("manifest", Ok("not requested: name an existing image with --image".to_owned()));
        };
        let origin = self.origin(account, repository.clone());
        let name = image_name(&origin, &reference.to_string());
        match self.head_or_get(&origin, reference).await {
            Ok(head) => ("manifest", Ok(found(&name, account, &head))),
            Err(error) => (self.step_of(&error, "manifest"), Err(self.problem(account, &error))),
        }
    }

    async fn head_or_get(&self, origin: &Origin, reference: &Reference) -> Result<ContentHead, UpstreamError> {
        match self.registry.head_manifest(origin, reference).await? {
            ManifestHead::Confirmed(head) => Ok(head),
            ManifestHead::Open | ManifestHead::NotRequested | ManifestHead::TooSlow | ManifestHead::KnownSlow => {
                Ok(self.registry.manifest(origin, reference).await?.head)
            }
        }
    }

    fn origin(&self, account: &Account, repository: Repository) -> Origin {
        Origin { upstream: self.upstream.name.clone(), account: account.clone(), repository }
    }

    /// Returns the problem in the words of a failed pull, with the details that a pull shows in the log only.
    fn problem(&self, account: &Account, error: &UpstreamError) -> String {
        let (repository, reference) = match &self.image {
            Some((repository, reference)) => (repository.clone(), reference.to_string()),
            None => match "v2".parse() {
                Ok(repository) => (repository, "latest".to_owned()),
                Err(_) => return error.to_string(),
            },
        };
        let origin = self.origin(account, repository);
        let image = image_name(&origin, &reference);
        let failure = PullFailure { origin, image, cause: Cause::from(error) };
        match failure.cause.details().filter(|details| !details.is_empty()) {
            Some(details) => format!("{}: {details}", failure.reason()),
            None => failure.reason(),
        }
    }

    fn step_of(&self, error: &UpstreamError, otherwise: &'static str) -> &'static str {
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

/// Returns whether there was no response at all.
fn is_connection(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Unreachable { .. } | UpstreamError::TimedOut | UpstreamError::ForbiddenAddress { .. }
    )
}

fn described(challenge: Option<&Challenge>) -> String {
    match challenge {
        None => "no login is required".to_owned(),
        Some(Challenge::Basic) => "user name and password are required at the registry itself".to_owned(),
        Some(Challenge::Bearer(bearer)) => {
            let realm = Url::parse(&bearer.realm).ok().map(|realm| realm.origin().ascii_serialization() + realm.path());
            format!("tokens are at {}", realm.unwrap_or_else(|| "a realm that is no address".to_owned()))
        }
    }
}

fn found(image: &str, account: &Account, head: &ContentHead) -> String {
    let who = match account {
        Account::Anonymous => "without credentials".to_owned(),
        Account::Username(name) => format!("as {name}"),
    };
    match head.digest {
        Some(digest) => format!("{image} can be pulled {who}: {digest}"),
        None => format!("{image} can be pulled {who}"),
    }
}

/// Returns the host in the form that the operating system resolves, without the brackets of an IPv6 address.
fn host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

fn has_proxy_variable() -> bool {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}
