//! Check of the connection to one upstream and its mirrors, step by step, with the client, addresses, certificate
//! authorities and accounts that the service uses. Stores nothing and does not listen. Steps contain no secrets.

mod image;
mod silence;
mod wording;

use std::net::SocketAddr;

use tokio::net::lookup_host;
use url::Url;

pub use self::image::default_image;

use self::image::resolved;
use self::wording::{described, found};
use crate::actors::pull_failure::image_name;
use crate::domain::challenge::Challenge;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::domain::repository::Repository;
use crate::domain::takeover::AccountCredential;
use crate::settings::Settings;
use crate::upstream::{
    ContentHead, HttpProxy, ManifestHead, Registry, RegistryClient, SetupError, UpstreamError, UpstreamOptions,
};

/// Result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStep {
    /// `DNS`, `connect`, `TLS`, `challenge`, `token` or `manifest`; with mirrors, `mirror` or `registry` before these.
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

/// The check of one registry of an upstream.
struct Check<'a> {
    upstream: &'a UpstreamOptions,
    registry: &'a RegistryClient,
    image: Option<&'a (Repository, Reference)>,
}

/// Checks the mirrors of one upstream and its own registry, each with each account that it may have. `image` is a
/// repository, written as in a pull after the upstream's name, with its reference. `report` receives each step when it
/// ends. Returns the name of the first step that failed. Must be called within a tokio runtime.
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
    let registries = Registry::new(upstream.clone())?;
    let mut steps = Steps { report, first_failure: None };
    for registry in registries.clients() {
        let check = Check { upstream, registry, image: image.as_ref() };
        if !upstream.mirrors.is_empty() {
            steps.step(check.kind(), Ok(check.introduction()));
        }
        check.run(&mut steps).await;
    }
    Ok(steps.first_failure)
}

/// The steps so far.
struct Steps<F> {
    report: F,
    first_failure: Option<&'static str>,
}

impl<F: FnMut(&UpstreamStep)> Steps<F> {
    /// Reports a step. Returns true if it did not fail.
    fn step(&mut self, name: &'static str, found: Result<String, String>) -> bool {
        let is_ok = found.is_ok();
        (self.report)(&UpstreamStep { name, found });
        if !is_ok {
            self.first_failure.get_or_insert(name);
        }
        is_ok
    }
}

impl Check<'_> {
    /// Runs the steps until one fails on which all later ones depend.
    async fn run(&self, steps: &mut Steps<impl FnMut(&UpstreamStep)>) {
        if !steps.step("DNS", self.resolve().await) {
            return;
        }
        let challenge = match self.registry.challenge().await {
            Ok(challenge) => challenge,
            Err(UpstreamError::TimedOut) if !self.uses_proxy() => {
                for (name, found) in silence::find(self.registry, self.upstream.connection.connect_timeout).await {
                    steps.step(name, found);
                }
                return;
            }
            Err(error) => {
                if !is_connection(&error) {
                    steps.step("connect", Ok(self.connected()));
                }
                steps.step(self.step_of(&error, "challenge"), Err(self.problem(&Account::Anonymous, &error)));
                return;
            }
        };
        steps.step("connect", Ok(self.connected()));
        steps.step("challenge", Ok(described(challenge.as_ref())));
        for account in self.accounts() {
            let credentials = self.credentials(&account);
            let mut is_accepted = credentials.is_empty();
            for credential in credentials {
                let logged_in = self.log_in(&account, credential, challenge.clone()).await;
                is_accepted |= steps.step("token", logged_in);
            }
            if is_accepted {
                let (name, found) = self.manifest(&account).await;
                steps.step(name, found);
            }
        }
    }

    fn is_mirror(&self) -> bool {
        *self.registry.url() != self.upstream.url
    }

    /// Returns the name of the step that introduces the registry.
    fn kind(&self) -> &'static str {
        if self.is_mirror() { "mirror" } else { "registry" }
    }

    /// Returns the accounts that the registry may have, or the anonymous one if there are none.
    fn accounts(&self) -> Vec<Account> {
        let accounts = self.upstream.accounts.iter().filter(|_| self.registry.has_accounts());
        let names = accounts.map(|account| Account::Username(account.username.clone()));
        let names: Vec<Account> = names.collect();
        if names.is_empty() { vec![Account::Anonymous] } else { names }
    }

    /// Returns the credentials of this account; none for the anonymous one.
    fn credentials(&self, account: &Account) -> Vec<AccountCredential> {
        let Account::Username(name) = account else { return Vec::new() };
        let configured = self.upstream.accounts.iter().find(|account| account.username == *name);
        match configured.and_then(|account| account.second.as_ref()) {
            Some(_) => vec![AccountCredential::First, AccountCredential::Second],
            None => vec![AccountCredential::First],
        }
    }

    async fn resolve(&self) -> Result<String, String> {
        if let HttpProxy::At(proxy) = &self.upstream.connection.proxy {
            return Ok(format!("left to the HTTP proxy {}", proxy.host_str().unwrap_or_default()));
        }
        let url = self.registry.url();
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

    /// Logs in with this credential and returns the outcome.
    async fn log_in(
        &self,
        account: &Account,
        credential: AccountCredential,
        challenge: Option<Challenge>,
    ) -> Result<String, String> {
        let Account::Username(name) = account else { return Ok("without an account".to_owned()) };
        let which = match credential {
            AccountCredential::First => "",
            AccountCredential::Second => " with its second_password",
        };
        let Some(challenge) = challenge else {
            return Ok(format!("account '{name}'{which} is not needed: no login is required"));
        };
        match self.registry.log_in(account, credential, challenge).await {
            Ok(()) => Ok(format!("account '{name}'{which} is accepted")),
            Err(error) if credential == AccountCredential::Second => {
                Err(format!("{} (with its second_password)", self.problem(account, &error)))
            }
            Err(error) => Err(self.problem(account, &error)),
        }
    }

    /// Requests the manifest with this account. Returns the outcome, and the step that it belongs to.
    async fn manifest(&self, account: &Account) -> (&'static str, Result<String, String>) {
        let Some((repository, reference)) = self.image else {
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
}

/// Returns true if there was no response at all.
fn is_connection(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Unreachable { .. } | UpstreamError::TimedOut | UpstreamError::ForbiddenAddress { .. }
    )
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
