//! Connection options and accounts of an upstream. The `Debug` output contains no password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::repository::UpstreamName;

/// Options of the client of one registry.
#[derive(Clone)]
pub struct UpstreamOptions {
    /// The name that users know, such as `docker.io`.
    pub name: UpstreamName,
    /// Base address, such as `https://registry-1.docker.io`. A path in it is put between `/v2/` and the repository.
    pub url: String,
    /// The accounts that groups may use at this upstream.
    pub accounts: Vec<AccountOptions>,
    /// Hosts (`host` or `host:port`) that may have any address except a link-local one, and to which the
    /// credentials may be sent.
    pub auth_hosts: Vec<String>,
    /// Hosts (`host` or `host:port`) that may have any address except a link-local one.
    pub redirect_hosts: Vec<String>,
    /// The HTTP proxy. `None` uses `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; an empty text means no proxy.
    ///
    /// A proxy resolves names itself, so that only literal addresses are checked behind one. Names that are not
    /// listed are assumed to be public: the proxy must block names that resolve to internal addresses.
    pub proxy: Option<String>,
    /// PEM file with certificate authorities that are trusted in addition to those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Maximum number of concurrent downloads, and, counted separately, of concurrent short requests.
    pub max_concurrent: usize,
    /// Maximum number of requests that wait for a permit; further ones are refused.
    pub max_waiting: usize,
    /// Maximum time of one attempt to connect.
    pub connect_timeout: Duration,
    /// Maximum time until the headers of the final response arrive, including challenge, token and redirects.
    pub header_timeout: Duration,
    /// Maximum time without a byte of the body.
    pub idle_timeout: Duration,
}

/// An account at an upstream.
#[derive(Clone, Debug)]
pub struct AccountOptions {
    /// User name at the upstream.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
}

/// Error: an option of an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("upstreams.\"{upstream}\".{key}: {reason}")]
pub struct SetupError {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The settings key whose value is wrong.
    pub key: &'static str,
    /// The problem.
    pub reason: String,
}

impl UpstreamOptions {
    /// Returns options of an anonymous upstream at `url`. The timeouts let every response of this service begin
    /// within 25 seconds, even if it takes one request for metadata and then a download.
    pub fn new(name: UpstreamName, url: impl Into<String>) -> Self {
        Self {
            name,
            url: url.into(),
            accounts: Vec::new(),
            auth_hosts: Vec::new(),
            redirect_hosts: Vec::new(),
            proxy: None,
            ca_file: None,
            max_concurrent: 64,
            max_waiting: 1024,
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl UpstreamOptions {
    /// Returns true if a client with these options behaves the same as one with the others. Always false if a
    /// `ca_file` is set, because its content may have changed.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let Self { name, url, accounts, auth_hosts, redirect_hosts, proxy, ca_file, .. } = self;
        let times = |options: &Self| (options.connect_timeout, options.header_timeout, options.idle_timeout);
        let same_account = |(one, another): (&AccountOptions, &AccountOptions)| {
            one.username == another.username && one.password.expose_secret() == another.password.expose_secret()
        };
        let same_accounts =
            accounts.len() == other.accounts.len() && accounts.iter().zip(&other.accounts).all(same_account);
        let same_hosts = *auth_hosts == other.auth_hosts && *redirect_hosts == other.redirect_hosts;
        let same_way = *url == other.url && *proxy == other.proxy && ca_file.is_none() && other.ca_file.is_none();
        *name == other.name && same_accounts && same_hosts && same_way && times(self) == times(other)
    }
}

impl fmt::Debug for UpstreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The addresses of upstream and proxy may contain a password.
        f.debug_struct("UpstreamOptions")
            .field("name", &self.name)
            .field("accounts", &self.accounts)
            .field("auth_hosts", &self.auth_hosts)
            .field("redirect_hosts", &self.redirect_hosts)
            .field("ca_file", &self.ca_file)
            .field("max_concurrent", &self.max_concurrent)
            .finish_non_exhaustive()
    }
}
