//! Client of the upstream registries: the only layer that knows reqwest. Sends requests and interprets responses.
//! Stores nothing and verifies no digests.
//!
//! Connections are made only to permitted addresses. An address to which upstream refers (a token realm, or a
//! redirect, of which at most five are followed) must be public, or have host and port of the upstream's `url`,
//! `auth_hosts` or `redirect_hosts`. Link-local addresses are never permitted. The check applies to the address to
//! which the connection is made. Behind an HTTP proxy, which resolves names itself, it applies to literal addresses
//! only.
//!
//! Credentials are sent only to the upstream's host, its registrable domain and `auth_hosts`; never by http if the
//! upstream uses https, and never after a redirect to another host or port.
//!
//! Accounts are those of the settings, and those of groups, which change while the service runs ([`group_logins`]).
//!
//! An upstream may have mirrors, which are requested first ([`Registry`]). A mirror gets the credentials under the same
//! rule, and is requested without an account otherwise.
//!
//! Headers and addresses are not logged, at any level. The libraries below (reqwest, hyper, hyper_util, rustls)
//! have log output of their own; their level must stay at `warn`.
//!
//! | module | content |
//! |---|---|
//! | [`options`], [`hosts`], [`address`] | the settings of an upstream; the hosts and addresses that it may name |
//! | [`mirrored`], [`mirror_state`] | the registries of an upstream in their order; the state of one mirror |
//! | [`registry`], [`response`], [`content`], [`list`], [`link_header`], [`head_support`] | the client of one registry; what its responses say; content, and lists; repositories without `HEAD` |
//! | [`authorization`], [`tokens`], [`token_realm`] | challenges during a request; tokens that are known; requests for tokens |
//! | [`accounts`], [`group_logins`], [`known_account`], [`refused_accounts`] | accounts of the settings and of groups; one of them with its credentials; those that are refused at present |
//! | [`budgets`], [`rate_limit`] | pull budgets of accounts; the headers that report them |
//! | [`transport`], [`clients`] | one request with its redirects; the clients of reqwest |
//! | [`error`], [`connection_error`], [`failure_body`] | errors, one variant per cause; causes of lost connections; details in error bodies |
//! | [`replicas`] | requests to the other replicas of a fleet |
//!
//! Limits, backoff and deadlines of these requests are in
//! [`actors::upstream_fetcher`](crate::actors::upstream_fetcher).

mod accounts;
mod address;
mod authorization;
mod budgets;
mod clients;
mod connection_error;
mod content;
mod error;
mod failure_body;
mod group_logins;
mod head_support;
mod hosts;
mod known_account;
mod link_header;
mod list;
mod mirror_state;
mod mirrored;
mod options;
mod rate_limit;
mod refused_accounts;
mod registry;
pub mod replicas;
mod response;
mod token_realm;
mod tokens;
mod transport;

/// The properties of the parsers of responses, for `fuzzing`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties {
    pub(crate) use super::link_header::properties::hold as of_link_headers;
    pub(crate) use super::response::properties::hold as of_content_range;
}

use std::collections::HashMap;
use std::sync::Arc;

pub use budgets::gauge_pulls;
pub use content::{Content, ContentHead, ManifestHead};
pub use error::{ConnectionFailure, HttpFailure, RateLimit, RealmError, ReservedFor, UpstreamError};
pub use group_logins::GroupLogin;
pub use hosts::HostPort;
pub use list::{ListPage, MAX_LIST_BYTES};
pub use mirror_state::{MirrorContent, UsedMirrors};
pub use mirrored::Registry;
pub use options::{AccountOptions, ConnectionOptions, HttpProxy, SecondCredential, SetupError, UpstreamOptions};
pub use registry::{LoginOutcome, RegistryClient};

use self::group_logins::GroupLogins;
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;

/// The clients of all configured upstreams, and the accounts of groups there. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    known: Arc<HashMap<UpstreamName, Known>>,
    of_groups: GroupLogins,
}

/// A client, with the options that it was made from.
#[derive(Clone)]
struct Known {
    options: UpstreamOptions,
    registry: Arc<Registry>,
}

impl Registries {
    /// Creates clients for these upstreams. Reads their `ca_file`s and makes no connections.
    ///
    /// # Errors
    ///
    /// Fails if an option of an upstream cannot be used.
    pub fn new(upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        Self { known: Arc::default(), of_groups: GroupLogins::default() }.changed_to(upstreams)
    }

    /// Returns clients for these upstreams. A client whose options are the same is kept, with its connections and
    /// tokens; the others are new. A client with a `ca_file` is always new, because the content of the file may
    /// have changed. Requests in progress continue with their present client.
    ///
    /// # Errors
    ///
    /// Fails if an option of an upstream cannot be used.
    pub fn changed_to(&self, upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        let mut pool = clients::ClientPool::default();
        let known = |options: UpstreamOptions| {
            let same = self.known.get(&options.name).filter(|known| options.is_same(&known.options));
            let registry = match same {
                Some(known) => known.registry.clone(),
                None => Arc::new(Registry::with_pool(&options, &mut pool, &self.of_groups)?),
            };
            Ok((options.name.clone(), Known { options, registry }))
        };
        let known = Arc::new(upstreams.into_iter().map(known).collect::<Result<_, _>>()?);
        Ok(Self { known, of_groups: self.of_groups.clone() })
    }

    /// Replaces the accounts of groups, for all requests from now on. Returns those that are gone.
    pub fn replace_group_logins(&self, logins: Vec<GroupLogin>) -> Vec<(UpstreamName, Account)> {
        let gone = self.of_groups.replace(logins);
        for (upstream, account) in &gone {
            self.known.get(upstream).into_iter().for_each(|known| known.registry.forget(account));
        }
        gone
    }

    /// Returns the names of the upstreams whose client is missing or different in `other`.
    pub fn differing_from(&self, other: &Self) -> Vec<UpstreamName> {
        let same = |name: &UpstreamName, known: &Known| {
            other.known.get(name).is_some_and(|other| Arc::ptr_eq(&other.registry, &known.registry))
        };
        self.known.iter().filter(|(name, known)| !same(name, known)).map(|(name, _)| name.clone()).collect()
    }

    /// Iterates over all upstreams with their clients.
    pub fn all(&self) -> impl Iterator<Item = (&UpstreamName, Arc<Registry>)> {
        self.known.iter().map(|(name, known)| (name, known.registry.clone()))
    }

    /// Returns the client of this upstream.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::NotConfigured`] if there is no such upstream.
    pub fn of(&self, upstream: &UpstreamName) -> Result<Arc<Registry>, UpstreamError> {
        self.known.get(upstream).map(|known| known.registry.clone()).ok_or(UpstreamError::NotConfigured)
    }
}
