//! The sections `[upstreams."NAME"]` and `[upstream_defaults]`: the only registries that are contacted, and the
//! accounts that are used there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::formats::{Host, InOrder};
use super::layers::Node;
use super::{ValidationError, formats, quantity};
use crate::domain::deadlines;
use crate::domain::group::GroupPath;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::{AccountRule, ImagePattern, Upstream, Upstreams};

/// The enabled upstream registries, in alphabetical order.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstreams(Vec<ConfiguredUpstream>);

/// One upstream registry, with its accounts, limits and timeouts.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstream {
    /// Name of the registry in image paths.
    pub name: UpstreamName,
    /// URL of the registry: `http` or `https`, without credentials or query; a path is inserted between
    /// `/v2/` and the repository.
    pub url: Url,
    /// Accounts, each user name once; the first one that the group and the image may use is used.
    pub accounts: Vec<ConfiguredAccount>,
    /// Other hosts, with a port where it is not the default one, that credentials may be sent to.
    pub auth_hosts: Vec<String>,
    /// Other hosts, with a port where it is not the default one, that redirects may lead to although their
    /// addresses are private.
    pub redirect_hosts: Vec<String>,
    /// HTTP proxy for connections to the registry.
    pub proxy: HttpProxy,
    /// PEM file of certificates to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// Maximum number of concurrent downloads and, counted separately, of short requests.
    pub max_concurrent: NonZeroUsize,
    /// Maximum number of requests that wait for one of these to end.
    pub max_waiting: usize,
    /// Maximum time to connect, TLS included; more than zero.
    pub connect_timeout: Duration,
    /// Maximum time until a response begins, token request and redirects included; more than zero, at most 12 seconds.
    pub header_timeout: Duration,
    /// Maximum time between two chunks of a response; more than zero.
    pub idle_timeout: Duration,
    /// Time to live of the registry's tags.
    pub tag_freshness: Duration,
}

/// The HTTP proxy for connections to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpProxy {
    /// The proxy that the environment variables `HTTPS_PROXY` and `NO_PROXY` set, or none.
    Environment,
    /// No proxy, regardless of the environment.
    None,
    /// The proxy at this URL.
    At(Url),
}

/// An account at a registry, with the groups and images that may use it. An empty list allows all.
#[derive(Clone, Debug)]
pub struct ConfiguredAccount {
    /// User name at the registry.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
    /// Groups that may use the account, each with all groups below it.
    pub groups: Vec<GroupPath>,
    /// Repositories for which the account may be used.
    pub images: Vec<ImagePattern>,
}

impl ConfiguredUpstreams {
    /// Iterates over the registries.
    pub fn iter(&self) -> impl Iterator<Item = &ConfiguredUpstream> {
        self.0.iter()
    }

    /// Returns the part of these settings that decides which account a pull uses: without addresses,
    /// limits and secrets.
    pub fn world(&self) -> Upstreams {
        let rule = |account: &ConfiguredAccount| AccountRule {
            username: account.username.clone(),
            groups: account.groups.clone(),
            images: account.images.clone(),
        };
        Upstreams::new(self.iter().map(|upstream| {
            let accounts = upstream.accounts.iter().map(rule).collect();
            (upstream.name.clone(), Upstream { accounts, tag_freshness: upstream.tag_freshness })
        }))
    }

    /// Returns the accounts that every group can use for every image, for a warning.
    pub fn unrestricted_accounts(&self) -> impl Iterator<Item = (&UpstreamName, &str)> {
        self.iter().flat_map(|upstream| {
            let open = |account: &&ConfiguredAccount| account.groups.is_empty() && account.images.is_empty();
            upstream.accounts.iter().filter(open).map(|account| (&upstream.name, account.username.as_str()))
        })
    }
}

/// Copies the keys of `[upstream_defaults]` into every upstream that does not set them.
pub(super) fn apply_upstream_defaults(root: &mut Node) {
    let defaults = root.child("upstream_defaults").map(|node| node.entries().to_vec()).unwrap_or_default();
    let upstreams = root.entries_mut().into_iter().flatten().find(|(section, _)| section == "upstreams");
    for (_, upstream) in upstreams.and_then(|(_, node)| node.entries_mut()).into_iter().flatten() {
        for (key, node) in &defaults {
            if upstream.child(key).is_none() {
                upstream.entries_mut().into_iter().for_each(|entries| entries.push((key.clone(), node.clone())));
            }
        }
    }
}

/// The keys of `[upstream_defaults]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to be checked")]
pub(super) struct Defaults {
    max_concurrent: NonZeroUsize,
    max_waiting: usize,
    #[serde(deserialize_with = "quantity::timeout")]
    connect_timeout: Duration,
    #[serde(deserialize_with = "quantity::timeout")]
    header_timeout: Duration,
    #[serde(deserialize_with = "quantity::timeout")]
    idle_timeout: Duration,
    #[serde(deserialize_with = "formats::proxy")]
    proxy: HttpProxy,
    #[serde(deserialize_with = "formats::path")]
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct RawUpstreams(BTreeMap<UpstreamName, RawUpstream>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUpstream {
    #[serde(deserialize_with = "formats::url")]
    url: Url,
    #[serde(default = "switched_on")]
    enabled: bool,
    #[serde(default, deserialize_with = "formats::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    password: Option<SecretString>,
    #[serde(default)]
    groups: Vec<GroupPath>,
    #[serde(default)]
    images: Vec<ImagePattern>,
    #[serde(default)]
    accounts: InOrder<RawAccount>,
    #[serde(default)]
    auth_hosts: Vec<Host>,
    #[serde(default)]
    redirect_hosts: Vec<Host>,
    #[serde(deserialize_with = "formats::proxy")]
    proxy: HttpProxy,
    #[serde(deserialize_with = "formats::path")]
    ca_file: Option<PathBuf>,
    max_concurrent: NonZeroUsize,
    max_waiting: usize,
    #[serde(deserialize_with = "quantity::timeout")]
    connect_timeout: Duration,
    #[serde(deserialize_with = "quantity::timeout")]
    header_timeout: Duration,
    #[serde(deserialize_with = "quantity::timeout")]
    idle_timeout: Duration,
    #[serde(default, deserialize_with = "quantity::optional_duration")]
    tag_freshness: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccount {
    #[serde(default, deserialize_with = "formats::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    password: Option<SecretString>,
    #[serde(default)]
    groups: Vec<GroupPath>,
    #[serde(default)]
    images: Vec<ImagePattern>,
}

fn switched_on() -> bool {
    true
}

impl RawUpstreams {
    pub(super) fn check(self, tag_freshness: Duration) -> Result<ConfiguredUpstreams, ValidationError> {
        let checked = |(name, upstream): (UpstreamName, RawUpstream)| {
            let enabled = upstream.enabled;
            upstream.check(name, tag_freshness).map(|upstream| enabled.then_some(upstream)).transpose()
        };
        self.0.into_iter().filter_map(checked).collect::<Result<_, _>>().map(ConfiguredUpstreams)
    }
}

impl RawUpstream {
    fn check(self, name: UpstreamName, tag_freshness: Duration) -> Result<ConfiguredUpstream, ValidationError> {
        self.check_times(&name)?;
        let short =
            RawAccount { username: self.username, password: self.password, groups: self.groups, images: self.images };
        let accounts = check_accounts(&name, self.accounts, short)?;
        Ok(ConfiguredUpstream {
            url: self.url,
            accounts,
            auth_hosts: self.auth_hosts.into_iter().map(|host| host.0).collect(),
            redirect_hosts: self.redirect_hosts.into_iter().map(|host| host.0).collect(),
            proxy: self.proxy,
            ca_file: self.ca_file,
            max_concurrent: self.max_concurrent,
            max_waiting: self.max_waiting,
            connect_timeout: self.connect_timeout,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            tag_freshness: self.tag_freshness.unwrap_or(tag_freshness),
            name,
        })
    }

    fn check_times(&self, name: &UpstreamName) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["upstreams", name.as_str(), key], problem));
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((key, _)) => refused(key, "is zero"),
            None if self.header_timeout > deadlines::MAX_HEADER => refused(
                "header_timeout",
                "is longer than 12 s; a pull may need two responses, and clients give up after 30 s",
            ),
            None => Ok(()),
        }
    }
}

fn check_accounts(
    upstream: &UpstreamName,
    named: InOrder<RawAccount>,
    short: RawAccount,
) -> Result<Vec<ConfiguredAccount>, ValidationError> {
    let mut accounts = Vec::new();
    for (name, written) in named.0 {
        let path = ["upstreams", upstream.as_str(), "accounts", name.as_str()];
        match written.check(&path, &accounts)? {
            Some(account) => accounts.push(account),
            None => return Err(ValidationError::new(path, "has neither username nor password")),
        }
    }
    accounts.extend(short.check(&["upstreams", upstream.as_str()], &accounts)?);
    Ok(accounts)
}

impl RawAccount {
    /// Returns the account, or `None` where there are no credentials. Fails where the credentials are incomplete,
    /// the user name is in use by an `earlier` account, or groups or images are given without credentials.
    fn check(self, path: &[&str], earlier: &[ConfiguredAccount]) -> Result<Option<ConfiguredAccount>, ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(path.iter().copied().chain([key]), problem));
        let lacks =
            |key, other, problem: &str| Err(ValidationError::lacks(path.iter().copied().chain([key]), other, problem));
        let (username, password) = match (self.username, self.password) {
            (Some(username), Some(password)) => (username, password),
            (Some(_), None) => return lacks("username", "password", "is given without password or password_file"),
            (None, Some(_)) => return lacks("password", "username", "is given without username"),
            (None, None) if !self.groups.is_empty() => {
                return refused("groups", "is given without credentials to restrict");
            }
            (None, None) if !self.images.is_empty() => {
                return refused("images", "is given without credentials to restrict");
            }
            (None, None) => return Ok(None),
        };
        // The user name becomes a part of keys in the index, whose fields end with a zero byte.
        if username.contains(char::is_control) {
            return refused("username", "has a character that cannot be printed");
        }
        if earlier.iter().any(|account| account.username == username) {
            return refused("username", "is that of another account of this upstream; each account needs its own");
        }
        Ok(Some(ConfiguredAccount { username, password, groups: self.groups, images: self.images }))
    }
}
