//! The sections `[upstreams."NAME"]` and `[upstream_defaults]`: the only registries that are contacted, and the
//! accounts that are used there.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use url::Url;

use super::ValidationError;
use super::node::Node;
use crate::domain::group::GroupPath;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::{AccountRule, ImagePattern, Upstream};
use crate::formats::{self, quantity};
use crate::upstream::{AccountOptions, ConnectionOptions, HostPort, SecondCredential, UpstreamOptions};

/// The enabled upstream registries, in alphabetical order.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstreams(Vec<UpstreamOptions>);

impl ConfiguredUpstreams {
    /// Iterates over the registries.
    pub fn iter(&self) -> impl Iterator<Item = &UpstreamOptions> {
        self.0.iter()
    }

    /// Iterates over the rules of the accounts, and the freshness of tags.
    pub(super) fn rules(&self) -> impl Iterator<Item = (UpstreamName, Upstream)> {
        let rule = |account: &AccountOptions| AccountRule {
            username: account.username.clone(),
            groups: account.groups.clone(),
            images: account.images.clone(),
        };
        self.iter().map(move |upstream| {
            let accounts = upstream.accounts.iter().map(rule).collect();
            (upstream.name.clone(), Upstream { accounts, tag_freshness: upstream.tag_freshness })
        })
    }

    /// Returns the accounts that every group can use for every image, for a warning.
    pub fn unrestricted_accounts(&self) -> impl Iterator<Item = (&UpstreamName, &str)> {
        self.iter().flat_map(|upstream| {
            let open = |account: &&AccountOptions| account.groups.is_empty() && account.images.is_empty();
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

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct RawUpstreams(BTreeMap<UpstreamName, RawUpstream>);

/// The keys of an upstream that are not those of its connection.
#[derive(Deserialize)]
struct RawUpstream {
    #[serde(deserialize_with = "formats::url")]
    url: Url,
    #[serde(default, deserialize_with = "formats::urls")]
    mirrors: Vec<Url>,
    #[serde(default = "switched_on")]
    enabled: bool,
    #[serde(default, deserialize_with = "formats::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    password: Option<SecretString>,
    #[serde(default, deserialize_with = "formats::text")]
    second_username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    second_password: Option<SecretString>,
    #[serde(default)]
    groups: Vec<GroupPath>,
    #[serde(default)]
    images: Vec<ImagePattern>,
    #[serde(default)]
    accounts: InOrder<RawAccount>,
    #[serde(default)]
    auth_hosts: Vec<HostPort>,
    #[serde(default)]
    redirect_hosts: Vec<HostPort>,
    #[serde(default, deserialize_with = "quantity::optional_duration")]
    tag_freshness: Option<Duration>,
    #[serde(rename = "*")] // The same table: see `deserializer`.
    connection: ConnectionOptions,
}

#[derive(Deserialize)]
struct RawAccount {
    #[serde(default, deserialize_with = "formats::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    password: Option<SecretString>,
    #[serde(default, deserialize_with = "formats::text")]
    second_username: Option<String>,
    #[serde(default, deserialize_with = "formats::secret")]
    second_password: Option<SecretString>,
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
    fn check(self, name: UpstreamName, tag_freshness: Duration) -> Result<UpstreamOptions, ValidationError> {
        let refused = |(key, problem)| ValidationError::new(["upstreams", name.as_str(), key], problem);
        self.connection.check().map_err(refused)?;
        check_mirrors(&self.url, &self.mirrors).map_err(|problem| refused(("mirrors", problem)))?;
        let short = RawAccount {
            username: self.username,
            password: self.password,
            second_username: self.second_username,
            second_password: self.second_password,
            groups: self.groups,
            images: self.images,
        };
        let accounts = check_accounts(&name, self.accounts, short)?;
        Ok(UpstreamOptions {
            url: self.url,
            mirrors: self.mirrors,
            accounts,
            auth_hosts: self.auth_hosts,
            redirect_hosts: self.redirect_hosts,
            connection: self.connection,
            tag_freshness: self.tag_freshness.unwrap_or(tag_freshness),
            name,
        })
    }
}

/// Fails if a registry is listed twice.
fn check_mirrors(url: &Url, mirrors: &[Url]) -> Result<(), &'static str> {
    let mut others = mirrors;
    while let Some((mirror, rest)) = others.split_first() {
        if mirror == url {
            return Err("lists url itself, which is requested last in any case");
        } else if rest.contains(mirror) {
            return Err("lists the same mirror twice");
        }
        others = rest;
    }
    Ok(())
}

fn check_accounts(
    upstream: &UpstreamName,
    named: InOrder<RawAccount>,
    short: RawAccount,
) -> Result<Vec<AccountOptions>, ValidationError> {
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
    fn check(self, path: &[&str], earlier: &[AccountOptions]) -> Result<Option<AccountOptions>, ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(path.iter().copied().chain([key]), problem));
        let lacks =
            |key, other, problem: &str| Err(ValidationError::lacks(path.iter().copied().chain([key]), other, problem));
        if self.second_username.is_some() && self.second_password.is_none() {
            let problem = "is given without second_password or second_password_file";
            return lacks("second_username", "second_password", problem);
        }
        let (username, password) = match (self.username, self.password) {
            (Some(username), Some(password)) => (username, password),
            (Some(_), None) => return lacks("username", "password", "is given without password or password_file"),
            (None, Some(_)) => return lacks("password", "username", "is given without username"),
            (None, None) if self.second_password.is_some() => {
                return refused("second_password", "is given without username and password");
            }
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
        let second = self.second_password.map(|password| SecondCredential {
            username: self.second_username.unwrap_or_else(|| username.clone()),
            password,
        });
        Ok(Some(AccountOptions { username, password, second, groups: self.groups, images: self.images }))
    }
}

/// A table whose keys the operator chooses, in the order of the file.
struct InOrder<T>(Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }

        from.deserialize_map(Entries(PhantomData))
    }
}
