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
//! An upstream may have mirrors, which are requested first ([`Registry`]). A mirror gets the credentials under the same
//! rule, and is requested without an account otherwise.
//!
//! Headers and addresses are not logged, at any level. The libraries below (reqwest, hyper, hyper_util, rustls)
//! have log output of their own; their level must stay at `warn`.

mod accounts;
mod address;
mod authorization;
mod budgets;
mod clients;
mod connection_error;
mod content;
mod error;
mod failure_body;
mod head_support;
mod hosts;
mod link_header;
mod list;
mod mirrored;
mod options;
mod rate_limit;
mod refused_accounts;
mod registry;
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
pub use hosts::HostPort;
pub use list::{ListPage, MAX_LIST_BYTES};
pub use mirrored::{MirrorContent, Registry, UsedMirrors};
pub use options::{AccountOptions, ConnectionOptions, HttpProxy, SecondCredential, SetupError, UpstreamOptions};
pub use registry::RegistryClient;

use crate::domain::repository::UpstreamName;

/// The clients of all configured upstreams. Cheap to clone.
#[derive(Clone)]
pub struct Registries(Arc<HashMap<UpstreamName, Known>>);

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
        Self(Arc::default()).changed_to(upstreams)
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
            let same = self.0.get(&options.name).filter(|known| options.is_same(&known.options));
            let registry = match same {
                Some(known) => known.registry.clone(),
                None => Arc::new(Registry::with_pool(&options, &mut pool)?),
            };
            Ok((options.name.clone(), Known { options, registry }))
        };
        Ok(Self(Arc::new(upstreams.into_iter().map(known).collect::<Result<_, _>>()?)))
    }

    /// Returns the names of the upstreams whose client is missing or different in `other`.
    pub fn differing_from(&self, other: &Self) -> Vec<UpstreamName> {
        let same = |name: &UpstreamName, known: &Known| {
            other.0.get(name).is_some_and(|other| Arc::ptr_eq(&other.registry, &known.registry))
        };
        self.0.iter().filter(|(name, known)| !same(name, known)).map(|(name, _)| name.clone()).collect()
    }

    /// Iterates over all upstreams with their clients.
    pub fn all(&self) -> impl Iterator<Item = (&UpstreamName, Arc<Registry>)> {
        self.0.iter().map(|(name, known)| (name, known.registry.clone()))
    }

    /// Returns the client of this upstream.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::NotConfigured`] if there is no such upstream.
    pub fn of(&self, upstream: &UpstreamName) -> Result<Arc<Registry>, UpstreamError> {
        self.0.get(upstream).map(|known| known.registry.clone()).ok_or(UpstreamError::NotConfigured)
    }
}
