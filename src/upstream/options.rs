//! Connection options and accounts of an upstream. The `Debug` output contains no password.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer};
use url::Url;

use super::hosts::HostPort;
use crate::domain::deadlines;
use crate::domain::group::GroupPath;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::ImagePattern;
use crate::formats::{self, quantity};

/// Options of the client of one registry, and the accounts that groups may use there.
#[derive(Clone)]
pub struct UpstreamOptions {
    /// The name that users know, such as `docker.io`.
    pub name: UpstreamName,
    /// Base address, such as `https://registry-1.docker.io`: `http` or `https`, without credentials, query or fragment.
    /// A path in it is put between `/v2/` and the repository.
    pub url: Url,
    /// Addresses of other registries with the same content, tried in this order before `url`. They have the form of
    /// `url`, and are not `url`.
    pub mirrors: Vec<Url>,
    /// The accounts, each user name once; the first one that the group and the image may use is used.
    pub accounts: Vec<AccountOptions>,
    /// Hosts that may have any address except a link-local one, and to which the credentials may be sent.
    pub auth_hosts: Vec<HostPort>,
    /// Hosts that may have any address except a link-local one.
    pub redirect_hosts: Vec<HostPort>,
    /// Limits, timeouts and the way to the registry.
    pub connection: ConnectionOptions,
    /// Time to live of the registry's tags.
    pub tag_freshness: Duration,
}

/// Limits, timeouts and connection of a registry: the keys of `[upstream_defaults]`, which each upstream may have, too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConnectionOptions {
    /// Maximum number of concurrent downloads, and, counted separately, of concurrent short requests.
    pub max_concurrent: NonZeroUsize,
    /// Maximum number of requests that wait for a permit; further ones are refused.
    pub max_waiting: usize,
    /// Maximum time of one attempt to connect, TLS included; more than zero.
    #[serde(deserialize_with = "quantity::timeout")]
    pub connect_timeout: Duration,
    /// Maximum time until the headers of the final response arrive, including challenge, token and redirects; more
    /// than zero, at most [`MAX_HEADER`](deadlines::MAX_HEADER).
    #[serde(deserialize_with = "quantity::timeout")]
    pub header_timeout: Duration,
    /// Maximum time without a byte of the body; more than zero.
    #[serde(deserialize_with = "quantity::timeout")]
    pub idle_timeout: Duration,
    /// Maximum time for which a request waits while the registry's limit is reached; at most
    /// [`RATE_LIMIT`](deadlines::RATE_LIMIT).
    #[serde(deserialize_with = "quantity::timeout")]
    pub rate_limit_wait: Duration,
    /// The HTTP proxy.
    pub proxy: HttpProxy,
    /// PEM file with certificate authorities that are trusted in addition to those of the operating system.
    #[serde(deserialize_with = "formats::path")]
    pub ca_file: Option<PathBuf>,
}

/// The HTTP proxy for connections to a registry.
///
/// A proxy resolves names itself, so that only literal addresses are checked behind one. Names that are not listed are
/// assumed to be public: the proxy must block names that resolve to internal addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum HttpProxy {
    /// The proxy that the environment variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` set, or none.
    Environment,
    /// No proxy, regardless of the environment.
    None,
    /// The proxy at this URL.
    At(Url),
}

/// An account at an upstream, with the groups and images that may use it. An empty list allows all.
#[derive(Clone, Debug)]
pub struct AccountOptions {
    /// User name at the upstream, which also identifies the account here.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
    /// The credential that takes over when upstream refuses the first.
    pub second: Option<SecondCredential>,
    /// Groups that may use the account, each with all groups below it.
    pub groups: Vec<GroupPath>,
    /// Repositories for which the account may be used.
    pub images: Vec<ImagePattern>,
}

/// The second credential of an account.
#[derive(Clone, Debug)]
pub struct SecondCredential {
    /// User name at the upstream, often that of the account.
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
    /// Returns true if a client with these options behaves the same as one with the others. Always false if a
    /// `ca_file` is set, because its content may have changed.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // Options that the client does not use may differ.
        let Self { name, url, mirrors, accounts, auth_hosts, redirect_hosts, connection, tag_freshness: _ } = self;
        let same_account = |(one, another): (&AccountOptions, &AccountOptions)| one.is_same(another);
        let same_accounts =
            accounts.len() == other.accounts.len() && accounts.iter().zip(&other.accounts).all(same_account);
        let same_hosts = *auth_hosts == other.auth_hosts && *redirect_hosts == other.redirect_hosts;
        let same_way = *url == other.url && *mirrors == other.mirrors && connection.is_same(&other.connection);
        *name == other.name && same_accounts && same_hosts && same_way
    }
}

impl AccountOptions {
    /// Returns the passwords of all credentials.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &SecretString> {
        [&self.password].into_iter().chain(self.second.as_ref().map(|second| &second.password))
    }

    /// Returns true as [`UpstreamOptions::is_same`] does. Groups and images are not compared, because the client does
    /// not use them.
    fn is_same(&self, other: &Self) -> bool {
        let second = |account: &Self| account.second.as_ref().map(|second| second.username.clone());
        let secrets = self.passwords().map(SecretString::expose_secret);
        self.username == other.username
            && second(self) == second(other)
            && secrets.eq(other.passwords().map(SecretString::expose_secret))
    }
}

impl ConnectionOptions {
    /// Checks the values that have the right type.
    ///
    /// # Errors
    ///
    /// Returns the first key whose value cannot be used, and the problem.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((key, _)) => Err((key, "is zero")),
            None if self.header_timeout > deadlines::MAX_HEADER => Err((
                "header_timeout",
                "is longer than 12 s; a pull may need two responses, and clients give up after 30 s",
            )),
            None if self.rate_limit_wait > deadlines::RATE_LIMIT => {
                Err(("rate_limit_wait", "is longer than 18 s; clients give up after 30 s"))
            }
            None => Ok(()),
        }
    }

    /// Returns true as [`UpstreamOptions::is_same`] does. The limits are not compared, because the client does not use
    /// them.
    fn is_same(&self, other: &Self) -> bool {
        let Self { max_concurrent, max_waiting, rate_limit_wait, ca_file, .. } = self;
        let with_own_limits = Self {
            max_concurrent: *max_concurrent,
            max_waiting: *max_waiting,
            rate_limit_wait: *rate_limit_wait,
            ..other.clone()
        };
        ca_file.is_none() && *self == with_own_limits
    }
}

impl<'de> Deserialize<'de> for HttpProxy {
    /// Reads a URL, `"none"`, or an empty text for the environment's proxy.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "" => Ok(Self::Environment),
            "none" => Ok(Self::None),
            _ => formats::url(text.into_deserializer()).map(Self::At),
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || format!("'{text}' is not a host such as auth.example.com or 10.0.0.1:5000");
        Self::parse(&text).ok_or_else(|| D::Error::custom(wrong()))
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::None => "None",
            // The address may contain a password.
            Self::At(_) => "At",
        })
    }
}

impl fmt::Debug for UpstreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may contain a password.
        f.debug_struct("UpstreamOptions")
            .field("name", &self.name)
            .field("accounts", &self.accounts)
            .field("auth_hosts", &self.auth_hosts)
            .field("redirect_hosts", &self.redirect_hosts)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
