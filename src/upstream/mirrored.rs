//! The registries of one upstream: its mirrors in the order of the settings, then its own registry. The other layers
//! see them as one registry.
//!
//! A mirror that delivers decides: mirrors are trusted for what tags stand for, and for what is public. What a mirror
//! does not have, refuses or cannot deliver is requested from the next. Only the outcome of upstream's own registry,
//! the last, is a failure, so that a mirror never decides that there is no such content or that an account may not have
//! it.
//!
//! All mirrors together have half of the header timeout, in equal parts, and all registries together the whole: the
//! time limits of a response (`domain::deadlines`) hold with mirrors, too. A mirror that fails is skipped for a while
//! ([`mirror`]).

mod mirror;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use url::Url;

pub use self::mirror::{MirrorContent, UsedMirrors};

use self::mirror::{Item, Mirror};
use super::clients::ClientPool;
use super::content::{Content, ContentHead, ManifestHead};
use super::error::UpstreamError;
use super::list::ListPage;
use super::options::{ConnectionOptions, SetupError, UpstreamOptions};
use super::registry::RegistryClient;
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_budget::PullBudget;
use crate::domain::reference::Reference;

/// One upstream: its mirrors and its own registry. Call all methods on the runtime that called the first one, because
/// connections belong to that runtime.
pub struct Registry {
    mirrors: Vec<Arc<Mirror>>,
    own: RegistryClient,
    header_timeout: Duration,
}

impl Registry {
    /// Creates the clients of one upstream.
    ///
    /// # Errors
    ///
    /// Fails if one of its options cannot be used.
    pub fn new(options: UpstreamOptions) -> Result<Self, SetupError> {
        Self::with_pool(&options, &mut ClientPool::default())
    }

    /// As [`Self::new`], with HTTP clients that several upstreams share.
    pub(super) fn with_pool(options: &UpstreamOptions, pool: &mut ClientPool) -> Result<Self, SetupError> {
        let header_timeout = options.connection.header_timeout;
        let number = u32::try_from(options.mirrors.len()).unwrap_or(u32::MAX).max(1);
        let connection =
            ConnectionOptions { header_timeout: header_timeout / 2 / number, ..options.connection.clone() };
        let of_mirrors = UpstreamOptions { connection, ..options.clone() };
        let mut mirror = |url: &Url| {
            let client = RegistryClient::of_mirror(url.clone(), &of_mirrors, pool)?;
            Ok(Mirror::new(client, options.name.clone()))
        };
        let mirrors = options.mirrors.iter().map(&mut mirror).collect::<Result<_, _>>()?;
        Ok(Self { mirrors, own: RegistryClient::of_upstream(options, pool)?, header_timeout })
    }

    /// Returns the clients of the mirrors in their order, then that of upstream's own registry.
    pub fn clients(&self) -> impl Iterator<Item = &RegistryClient> {
        self.mirrors.iter().map(|mirror| mirror.client()).chain([&self.own])
    }

    /// Iterates over the accounts that requests may use: none, and those that are configured.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.own.accounts()
    }

    /// Returns what `read` returns of the pull budget of an account; `None` if upstream reports none.
    pub fn budget<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.own.budget(account, read)
    }

    /// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is a claim.
    ///
    /// # Errors
    ///
    /// Fails with errors that a `GET` would meet, too.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        let deadline = Instant::now() + self.header_timeout / 2;
        let mut is_open = false;
        for mirror in &self.mirrors {
            match mirror.head_manifest(origin, reference).await {
                Some(ManifestHead::Confirmed(head)) => return Ok(ManifestHead::Confirmed(head)),
                Some(_) => is_open = true,
                None => {}
            }
        }
        let head = timeout_at(deadline, self.own.head_manifest(origin, reference)).await;
        match head.unwrap_or(Ok(ManifestHead::TooSlow)) {
            // A mirror may respond to the `GET`.
            Err(_) if is_open => Ok(ManifestHead::Open),
            head => head,
        }
    }

    /// Requests a manifest or index, in the form in which upstream stores it. The caller bounds its length and
    /// verifies its digest.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let deadline = self.deadline();
        match self.of_mirrors(async |mirror| mirror.manifest(origin, reference).await).await {
            Some(content) => Ok(content),
            None => by(deadline, self.own.manifest(origin, reference)).await,
        }
    }

    /// Requests the head of a blob. A success proves that this account may read the blob in this repository.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not confirm that it has the blob.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let deadline = self.deadline();
        let head = async |client: &RegistryClient, origin: &Origin| client.head_blob(origin, digest).await;
        match self.of_mirrors(async |mirror| mirror.request(origin, &Item::Digest(*digest), head).await).await {
            Some(head) => Ok(head),
            None => by(deadline, head(&self.own, origin)).await,
        }
    }

    /// Requests a blob from the offset `from`. Each request begins at the first registry, because the addresses to
    /// which registries redirect expire. A mirror that broke off is skipped then.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let deadline = self.deadline();
        match self.of_mirrors(async |mirror| mirror.blob(origin, digest, from).await).await {
            Some(content) => Ok(content),
            None => by(deadline, self.own.blob(origin, digest, from)).await,
        }
    }

    /// Requests this range of a blob, which must not be empty. The head states the length of the whole blob.
    /// `None`: upstream ignores ranges and would send all of the blob.
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
        let deadline = self.deadline();
        match self.of_mirrors(async |mirror| mirror.blob_range(origin, digest, range).await).await {
            Some(content) => Ok(Some(content)),
            None => by(deadline, self.own.blob_range(origin, digest, range)).await,
        }
    }

    /// Requests a page of the list of tags.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send one.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListPage, UpstreamError> {
        self.list(origin, async |client, origin| client.tags(origin, query).await).await
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
        self.list(origin, async |client, origin| client.referrers(origin, digest, query).await).await
    }

    async fn list(
        &self,
        origin: &Origin,
        request: impl AsyncFn(&RegistryClient, &Origin) -> Result<ListPage, UpstreamError>,
    ) -> Result<ListPage, UpstreamError> {
        let deadline = Instant::now() + deadlines::LIST;
        match self.of_mirrors(async |mirror| mirror.request(origin, &Item::List, &request).await).await {
            Some(page) => Ok(page),
            None => by(deadline, request(&self.own, origin)).await,
        }
    }

    /// Returns the response of the first mirror that has what is requested; `None` if none has it.
    async fn of_mirrors<T>(&self, request: impl AsyncFn(&Arc<Mirror>) -> Option<T>) -> Option<T> {
        for mirror in &self.mirrors {
            if let Some(response) = request(mirror).await {
                return Some(response);
            }
        }
        None
    }

    /// Returns the time at which a response of the last registry must have begun.
    fn deadline(&self) -> Instant {
        Instant::now() + self.header_timeout
    }
}

async fn by<T>(
    deadline: Instant,
    response: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    timeout_at(deadline, response).await.unwrap_or(Err(UpstreamError::TimedOut))
}
