//! The sections `[upstreams."NAME"]` and `[upstream_defaults]`: the closed world of registries, and as whom each is asked.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::tree::Node;
use super::written::{Host, InOrder};
use super::{Impossible, quantity, written};
use crate::domain::group::GroupPath;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::{AccountRule, ImagePattern, Upstream, Upstreams};

/// The registries that may be asked, in alphabetical order, without those that are switched off.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstreams(Vec<ConfiguredUpstream>);

/// One registry, how to reach it and as whom.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstream {
    /// Its name in image paths.
    pub name: UpstreamName,
    /// Where it is: `http` or `https`, without credentials or query; a path belongs between `/v2/` and the repository.
    pub url: Url,
    /// The accounts to ask with, each user name once; the first that fits is used.
    pub accounts: Vec<ConfiguredAccount>,
    /// Hosts, with a port where it is not the usual one, that may be given the account besides its own.
    pub auth_hosts: Vec<String>,
    /// Hosts, with a port where it is not the usual one, that it may redirect to although their addresses are private.
    pub redirect_hosts: Vec<String>,
    /// How it is reached.
    pub proxy: HttpProxy,
    /// Certificates to trust beside the public ones, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Downloads at the same time and, counted apart, short questions.
    pub max_concurrent: NonZeroUsize,
    /// Those that may wait for their turn.
    pub max_waiting: usize,
    /// To connect, TLS included; more than zero, as the other times.
    pub connect_timeout: Duration,
    /// Until an answer begins, with token and redirects; at most 12 seconds.
    pub header_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// How long its tags are believed.
    pub tag_freshness: Duration,
}

/// The HTTP proxy between here and a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpProxy {
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// None, whatever they say.
    None,
    /// This one.
    At(Url),
}

/// An account at a registry and who may use it. An empty list allows everything.
#[derive(Clone, Debug)]
pub struct ConfiguredAccount {
    /// Its user name.
    pub username: String,
    /// Its password or token.
    pub password: SecretString,
    /// The groups, each with all groups below it.
    pub groups: Vec<GroupPath>,
    /// The repositories.
    pub images: Vec<ImagePattern>,
}

impl ConfiguredUpstreams {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfiguredUpstream> {
        self.0.iter()
    }

    /// The same without how they are reached and without secrets: what decides which account a pull uses.
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

    /// The accounts whose credentials every group can use for every image, which deserve a warning.
    pub fn unrestricted_accounts(&self) -> impl Iterator<Item = (&UpstreamName, &str)> {
        self.iter().flat_map(|upstream| {
            let open = |account: &&ConfiguredAccount| account.groups.is_empty() && account.images.is_empty();
            upstream.accounts.iter().filter(open).map(|account| (&upstream.name, account.username.as_str()))
        })
    }
}

/// Gives every upstream the keys of `[upstream_defaults]` that it does not have.
pub(super) fn bring_in_defaults(root: &mut Node) {
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

/// What may stand in `[upstream_defaults]`.
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
    #[serde(deserialize_with = "written::proxy")]
    proxy: HttpProxy,
    #[serde(deserialize_with = "written::path")]
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct WrittenUpstreams(BTreeMap<UpstreamName, WrittenUpstream>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUpstream {
    #[serde(deserialize_with = "written::url")]
    url: Url,
    #[serde(default = "switched_on")]
    enabled: bool,
    #[serde(default, deserialize_with = "written::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "written::secret")]
    password: Option<SecretString>,
    #[serde(default)]
    groups: Vec<GroupPath>,
    #[serde(default)]
    images: Vec<ImagePattern>,
    #[serde(default)]
    accounts: InOrder<WrittenAccount>,
    #[serde(default)]
    auth_hosts: Vec<Host>,
    #[serde(default)]
    redirect_hosts: Vec<Host>,
    #[serde(deserialize_with = "written::proxy")]
    proxy: HttpProxy,
    #[serde(deserialize_with = "written::path")]
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
struct WrittenAccount {
    #[serde(default, deserialize_with = "written::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "written::secret")]
    password: Option<SecretString>,
    #[serde(default)]
    groups: Vec<GroupPath>,
    #[serde(default)]
    images: Vec<ImagePattern>,
}

fn switched_on() -> bool {
    true
}

impl WrittenUpstreams {
    pub(super) fn check(self, tag_freshness: Duration) -> Result<ConfiguredUpstreams, Impossible> {
        let checked = |(name, upstream): (UpstreamName, WrittenUpstream)| {
            let enabled = upstream.enabled;
            upstream.check(name, tag_freshness).map(|upstream| enabled.then_some(upstream)).transpose()
        };
        self.0.into_iter().filter_map(checked).collect::<Result<_, _>>().map(ConfiguredUpstreams)
    }
}

/// A look-up and then a download, one after the other, must leave time before 25 seconds are over.
const MAX_HEADER_TIMEOUT: Duration = Duration::from_secs(12);

impl WrittenUpstream {
    fn check(self, name: UpstreamName, tag_freshness: Duration) -> Result<ConfiguredUpstream, Impossible> {
        self.check_times(&name)?;
        let short = WrittenAccount {
            username: self.username,
            password: self.password,
            groups: self.groups,
            images: self.images,
        };
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

    fn check_times(&self, name: &UpstreamName) -> Result<(), Impossible> {
        let refused = |key, problem: &str| Err(Impossible::new(["upstreams", name.as_str(), key], problem));
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((key, _)) => refused(key, "is zero"),
            None if self.header_timeout > MAX_HEADER_TIMEOUT => refused(
                "header_timeout",
                "is longer than 12 s; a pull may need two answers, and clients give up after 30 s",
            ),
            None => Ok(()),
        }
    }
}

fn check_accounts(
    upstream: &UpstreamName,
    named: InOrder<WrittenAccount>,
    short: WrittenAccount,
) -> Result<Vec<ConfiguredAccount>, Impossible> {
    let mut accounts = Vec::new();
    for (name, written) in named.0 {
        let path = ["upstreams", upstream.as_str(), "accounts", name.as_str()];
        match written.check(&path, &accounts)? {
            Some(account) => accounts.push(account),
            None => return Err(Impossible::new(path, "has neither username nor password")),
        }
    }
    accounts.extend(short.check(&["upstreams", upstream.as_str()], &accounts)?);
    Ok(accounts)
}

impl WrittenAccount {
    /// `None` where there are no credentials at all.
    fn check(self, path: &[&str], earlier: &[ConfiguredAccount]) -> Result<Option<ConfiguredAccount>, Impossible> {
        let refused = |key, problem: &str| Err(Impossible::new(path.iter().copied().chain([key]), problem));
        let (username, password) = match (self.username, self.password) {
            (Some(username), Some(password)) => (username, password),
            (Some(_), None) => return refused("username", "is given without password or password_file"),
            (None, Some(_)) => return refused("password", "is given without username"),
            (None, None) if !self.groups.is_empty() => {
                return refused("groups", "is given without credentials to restrict");
            }
            (None, None) if !self.images.is_empty() => {
                return refused("images", "is given without credentials to restrict");
            }
            (None, None) => return Ok(None),
        };
        // It becomes a part of the names under which the index keeps what upstream gave this account.
        if username.contains(char::is_control) {
            return refused("username", "has a character that cannot be printed");
        }
        if earlier.iter().any(|account| account.username == username) {
            return refused("username", "is that of another account of this upstream; each account needs its own");
        }
        Ok(Some(ConfiguredAccount { username, password, groups: self.groups, images: self.images }))
    }
}
