//! The way to the registries whose images are cached: the only layer that knows reqwest. It sends requests and understands
//! responses; it stores nothing and verifies no digest.
//!
//! Where it connects to: an address that upstream names (a token realm, a redirect, at each of at most five hops) is public,
//! or has host and port of the upstream's `url`, `auth_hosts` or `redirect_hosts`; it is never link-local. The check is made
//! on the address that is connected to. Behind an HTTP proxy, which resolves names itself, it is made on literal addresses.
//!
//! Whom it shows credentials: the upstream's host, its registrable domain and `auth_hosts`; never by http where the upstream
//! has https, and never along a redirect to another host or port.
//!
//! It logs neither headers nor addresses, at no level. The crates below (reqwest, hyper, hyper_util, rustls) log for
//! themselves; their level has to stay at `warn`.

mod address;
mod answer;
mod authorization;
mod clients;
mod connection_error;
mod content;
mod error;
mod failure_body;
mod head_support;
mod hosts;
mod link;
mod list;
mod options;
mod rate_limit;
mod realm;
mod refused_accounts;
mod registry;
mod tokens;
mod transport;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

pub use content::{Content, ContentHead, ManifestHead};
pub use error::{ConnectionFailure, HttpFailure, RateLimit, RealmError, UpstreamError};
pub use list::{ListAnswer, MAX_LIST_BYTES};
pub use options::{AccountOptions, SetupError, UpstreamOptions};

use crate::domain::challenge::Challenge;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::{Account, Origin};
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use registry::Registry;

/// The clients of all configured registries. Cheap to clone. All of its methods belong to the runtime that first used it:
/// connections are kept there.
#[derive(Clone)]
pub struct Registries(Arc<HashMap<UpstreamName, Registry>>);

impl Registries {
    /// Clients for these upstreams. Reads their `ca_file`s and connects to nothing.
    pub fn new(upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        let mut pool = clients::ClientPool::default();
        let registry = |options: UpstreamOptions| Ok((options.name.clone(), Registry::new(options, &mut pool)?));
        Ok(Self(Arc::new(upstreams.into_iter().map(registry).collect::<Result<_, _>>()?)))
    }

    /// What a `HEAD` says of a manifest, without counting as a pull at Docker Hub. Its digest is a claim.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        self.of(origin)?.head_manifest(origin, reference).await
    }

    /// A manifest or index, in the form that upstream keeps. The caller bounds its length and verifies its digest.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        self.of(origin)?.manifest(origin, reference).await
    }

    /// What upstream says about a blob; an answer proves that this account may read it in this repository.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        self.of(origin)?.head_blob(origin, digest).await
    }

    /// A blob from this offset on, asked for at the registry itself each time: the addresses it redirects to expire.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        self.of(origin)?.blob(origin, digest, from).await
    }

    /// These bytes of a blob, at least one, as one bounded range request; the head tells the length of the whole. `None`: upstream
    /// ignores ranges.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: &Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        self.of(origin)?.blob_range(origin, digest, range).await
    }

    /// A page of the list of tags.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListAnswer, UpstreamError> {
        self.of(origin)?.tags(origin, query).await
    }

    /// A page of the list of manifests that refer to this one; `NotFound` also where upstream knows no such list.
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListAnswer, UpstreamError> {
        self.of(origin)?.referrers(origin, digest, query).await
    }

    /// The challenge of this upstream; `None` where it requires no login.
    pub async fn challenge(&self, upstream: &UpstreamName) -> Result<Option<Challenge>, UpstreamError> {
        self.named(upstream)?.challenge().await
    }

    /// Shows an account to whoever this challenge of its upstream names, for no repository: a login.
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
        self.0.get(upstream).ok_or(UpstreamError::NotConfigured)
    }
}
