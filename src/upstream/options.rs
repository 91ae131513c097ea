//! How an upstream is reached and as whom. Printed, it shows no password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::repository::UpstreamName;

/// Everything the client of one registry needs to know.
#[derive(Clone)]
pub struct UpstreamOptions {
    /// What users call it, `docker.io` say.
    pub name: UpstreamName,
    /// Where it is: `https://registry-1.docker.io`. A path is put between `/v2/` and the repository.
    pub url: String,
    /// The accounts that groups may use there.
    pub accounts: Vec<AccountOptions>,
    /// Hosts (`host` or `host:port`) that may have any address but a link-local one, and may see the credentials.
    pub auth_hosts: Vec<String>,
    /// Hosts (`host` or `host:port`) that may have any address but a link-local one.
    pub redirect_hosts: Vec<String>,
    /// The HTTP proxy to use; without it `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide, and an empty text means none.
    ///
    /// A proxy resolves names itself, so that behind one only literal addresses are checked, and the names that are not
    /// listed are believed to be public: the proxy has to keep them from leading inside.
    pub proxy: Option<String>,
    /// A PEM file with authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How many downloads may be under way at once, and, counted apart, how many short questions.
    pub max_concurrent: usize,
    /// How many may wait for their turn; more are refused.
    pub max_waiting: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long it may take until the headers of the final answer are here, with challenge, token and redirects.
    pub header_timeout: Duration,
    /// How long the body may pause.
    pub idle_timeout: Duration,
}

/// An account at an upstream.
#[derive(Clone, Debug)]
pub struct AccountOptions {
    /// Its user name there.
    pub username: String,
    /// Its password or token.
    pub password: SecretString,
}

/// The options of an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("upstreams.\"{upstream}\".{key}: {reason}")]
pub struct SetupError {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The key whose value is wrong.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl UpstreamOptions {
    /// An anonymous upstream at `url` with time-outs that let every answer of ours leave within 25 seconds, also where it
    /// takes a look-up and then a download.
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
    /// Says whether a client with these options does the same as one with the others. False wherever a file is read.
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
        // The addresses of the upstream and of the proxy may carry a password.
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
