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
//! Headers and addresses are not logged, at any level. The libraries below (reqwest, hyper, hyper_util, rustls)
//! have log output of their own; their level must stay at `warn`.

mod address;
mod authorization;
mod clients;
mod connection_error;
mod content;
mod error;
mod failure_body;
mod head_support;
mod hosts;
mod link_header;
mod list;
mod options;
mod rate_limit;
mod refused_accounts;
mod registry;
mod response;
mod token_realm;
mod tokens;
mod transport;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

pub use content::{Content, ContentHead, ManifestHead};
pub use error::{ConnectionFailure, HttpFailure, RateLimit, RealmError, UpstreamError};
pub use list::{ListPage, MAX_LIST_BYTES};
pub use options::{AccountOptions, SetupError, UpstreamOptions};

use crate::domain::challenge::Challenge;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use registry::Registry;

/// The clients of all configured registries. Cheap to clone. Call all methods on the runtime that used it first,
/// because connections belong to that runtime.
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
                None => Arc::new(Registry::new(options.clone(), &mut pool)?),
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

    /// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is a
    /// claim.
    ///
    /// # Errors
    ///
    /// Fails with errors that a `GET` would meet, too.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        self.of(origin)?.head_manifest(origin, reference).await
    }

    /// Requests a manifest or index, in the form in which upstream stores it. The caller bounds its length and
    /// verifies its digest.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        self.of(origin)?.manifest(origin, reference).await
    }

    /// Requests the head of a blob. A success proves that this account may read the blob in this repository.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not confirm that it has the blob.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        self.of(origin)?.head_blob(origin, digest).await
    }

    /// Requests a blob from this offset. Each request begins at the registry itself, because the addresses to which
    /// it redirects expire.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        self.of(origin)?.blob(origin, digest, from).await
    }

    /// Requests this range of a blob, which must not be empty. The head states the length of the whole blob.
    /// `None`: upstream ignores ranges.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send exactly this range.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: &Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        self.of(origin)?.blob_range(origin, digest, range).await
    }

    /// Requests a page of the list of tags.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send one.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListPage, UpstreamError> {
        self.of(origin)?.tags(origin, query).await
    }

    /// Requests a page of the list of manifests that refer to this one.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send one, with `NotFound` also if it has no such list.
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListPage, UpstreamError> {
        self.of(origin)?.referrers(origin, digest, query).await
    }

    /// Returns the challenge of this upstream; `None` if it requires no login.
    ///
    /// # Errors
    ///
    /// Fails if there is no response, or one that is neither a success nor a challenge.
    pub async fn challenge(&self, upstream: &UpstreamName) -> Result<Option<Challenge>, UpstreamError> {
        self.named(upstream)?.challenge().await
    }

    /// Sends the credentials of an account to the realm or registry that this challenge of its upstream names, for
    /// no repository: a login.
    ///
    /// # Errors
    ///
    /// Fails if the account is refused, or there is no response.
    pub async fn log_in(
        &self,
        upstream: &UpstreamName,
        account: &Account,
        challenge: Challenge,
    ) -> Result<(), UpstreamError> {
        self.named(upstream)?.log_in(account, challenge).await
    }

    fn of(&self, origin: &Origin) -> Result<&Registry, UpstreamError> {
        self.named(&origin.upstream)
    }

    fn named(&self, upstream: &UpstreamName) -> Result<&Registry, UpstreamError> {
        self.0.get(upstream).map(|known| &*known.registry).ok_or(UpstreamError::NotConfigured)
    }
}
