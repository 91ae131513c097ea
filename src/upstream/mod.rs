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
pub struct Registries(Arc<HashMap<UpstreamName, Known>>);

/// A client with what it was made of.
#[derive(Clone)]
struct Known {
    options: UpstreamOptions,
    registry: Arc<Registry>,
}

impl Registries {
    /// Clients for these upstreams. Reads their `ca_file`s and connects to nothing.
    pub fn new(upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        Self(Arc::default()).changed_to(upstreams)
    }

    /// Clients for these upstreams. Those whose options are the same stay as they are, with their connections and
    /// tokens; the others are new, and know nothing. One with a `ca_file` is always new, because the file may be.
    /// Requests under way go on with the clients that they began with.
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

    /// The names of those that are not the same in `other`, or only here.
    pub fn differing_from(&self, other: &Self) -> Vec<UpstreamName> {
        let same = |name: &UpstreamName, known: &Known| {
            other.0.get(name).is_some_and(|other| Arc::ptr_eq(&other.registry, &known.registry))
        };
        self.0.iter().filter(|(name, known)| !same(name, known)).map(|(name, _)| name.clone()).collect()
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
        self.0.get(upstream).map(|known| &*known.registry).ok_or(UpstreamError::NotConfigured)
    }
}
