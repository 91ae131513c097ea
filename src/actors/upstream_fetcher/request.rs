//! Requests that the UpstreamFetcher takes: one type for each kind, with the rules of its kind.
//!
//! | request | permit | failures are counted for | if its upstream has just failed |
//! |---|---|---|---|
//! | [`HeadManifest`] | short | manifests | not sent while a stale manifest can be served; else as the next |
//! | [`GetManifest`] | short | manifests | not sent after several failures in a row |
//! | [`HeadBlob`] | short | blobs | not sent after several failures in a row |
//! | [`GetBlob`] | content | blobs | from the first byte: as the last; to continue a download: sent |
//! | [`GetBlobRange`] | range | blobs | the first one of a response: as the last; later ones: sent |
//! | [`ListTags`], [`ListReferrers`] | short | lists | not sent after several failures in a row |

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::limits::{Pool, UpstreamPermit};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::upstream::{Content, ContentHead, ListPage, ManifestHead, Registry, UpstreamError};

/// A request to an upstream registry.
pub trait UpstreamRequest: Send + 'static {
    /// The result of a successful request.
    type Response: Send + 'static;

    /// The permits of which it needs one.
    const POOL: Pool;

    /// The kind of content. Each kind has its own backoffs: many registries keep blobs in a storage service that fails
    /// by itself, and do not support some lists.
    const KIND: ContentKind;

    /// Returns the upstream, account and repository.
    fn origin(&self) -> &Origin;

    /// Sends the request.
    fn send(self, registry: Arc<Registry>) -> impl Future<Output = Result<Self::Response, UpstreamError>>;

    /// Returns how much depends on the request.
    fn urgency(&self) -> Urgency {
        Urgency::Awaited
    }

    /// Returns the maximum time, from now on, and the outcome after that time, if it was sent. `None` where the wait for a permit and
    /// the timeouts of the registry's client bound it.
    fn timeout(&self) -> Option<(Duration, Result<Self::Response, UpstreamError>)> {
        None
    }

    /// Returns what the outcome shows about upstream.
    fn verdict(outcome: &Result<Self::Response, UpstreamError>) -> Verdict {
        outcome.as_ref().err().cloned().map_or(Verdict::Works, Verdict::Failed)
    }

    /// Returns the response, which keeps the permit for as long as it is in use.
    fn holding(response: Self::Response, permit: UpstreamPermit) -> Self::Response {
        drop(permit);
        response
    }
}

/// Kind of content, with backoffs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// Manifests and indexes.
    Manifests,
    /// Blobs.
    Blobs,
    /// Lists of tags and referrers.
    Lists,
}

/// Importance of a request: the consequence if it is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// There is a stale copy that can be served instead.
    Optional,
    /// A client waits for it.
    Awaited,
    /// Clients have a part of the response already.
    Continuing,
}

/// Conclusion about an upstream, from the outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Upstream works.
    Works,
    /// The request failed. The error decides what that counts against.
    Failed(UpstreamError),
    /// Nothing follows: another request decides.
    Open,
    /// A `HEAD` took too long. Perhaps only a `HEAD` hangs, and only in this repository.
    SlowHead,
    /// The caller reports the end of it with [`UpstreamHandle::report`](super::UpstreamHandle::report).
    Reported,
}

/// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is a claim.
#[derive(Clone, Debug)]
pub struct HeadManifest {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
    /// The time for a revalidation, after which a stale manifest can be served; `None` if there is none.
    pub revalidation: Option<Duration>,
}

/// Requests a manifest or index. The caller has to bound its length, verify its digest, and
/// [report](super::UpstreamHandle::report) whether it was valid.
#[derive(Clone, Debug)]
pub struct GetManifest {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
}

/// Sends a `HEAD` for a blob. A success proves that this account may read the blob in this repository.
#[derive(Clone, Debug)]
pub struct HeadBlob {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The digest.
    pub digest: Digest,
}

/// Requests a blob to its end.
#[derive(Clone, Debug)]
pub struct GetBlob {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The digest.
    pub digest: Digest,
    /// The offset of the first byte. From zero on it is a new download, otherwise the continuation of one.
    pub from: u64,
}

/// Requests a range of a blob. The response is `None` if upstream ignores ranges; otherwise its head states the length
/// of the whole blob, if upstream reports it.
#[derive(Clone, Debug)]
pub struct GetBlobRange {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The digest.
    pub digest: Digest,
    /// The range in bytes, at least one.
    pub range: Range<u64>,
    /// [`Urgency::Continuing`] if clients have a part of the response already.
    pub urgency: Urgency,
}

/// Requests a page of the list of tags.
#[derive(Clone, Debug)]
pub struct ListTags {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The page.
    pub query: ListQuery,
}

/// Requests a page of the list of manifests that refer to this one. Fails with `NotFound` also if upstream has no
/// referrers API.
#[derive(Clone, Debug)]
pub struct ListReferrers {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The digest.
    pub digest: Digest,
    /// The page.
    pub query: ListQuery,
}

impl UpstreamRequest for HeadManifest {
    type Response = ManifestHead;
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Manifests;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ManifestHead, UpstreamError> {
        registry.head_manifest(&self.origin, &self.reference).await
    }

    fn urgency(&self) -> Urgency {
        if self.revalidation.is_some() { Urgency::Optional } else { Urgency::Awaited }
    }

    /// A revalidation gives a `HEAD` half of its time, so that a `GET` can still decide: some upstreams hang on `HEAD`.
    fn timeout(&self) -> Option<(Duration, Result<ManifestHead, UpstreamError>)> {
        Some(match self.revalidation {
            Some(time) => (time / 2, Ok(ManifestHead::TooSlow)),
            None => (deadlines::HEAD, Err(UpstreamError::TimedOut)),
        })
    }

    fn verdict(outcome: &Result<ManifestHead, UpstreamError>) -> Verdict {
        match outcome {
            Ok(ManifestHead::Confirmed(_)) => Verdict::Works,
            Ok(ManifestHead::Open | ManifestHead::NotRequested | ManifestHead::KnownSlow) => Verdict::Open,
            Ok(ManifestHead::TooSlow) | Err(UpstreamError::TimedOut) => Verdict::SlowHead,
            Err(error) => Verdict::Failed(error.clone()),
        }
    }
}

impl UpstreamRequest for GetManifest {
    type Response = Content;
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Manifests;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<Content, UpstreamError> {
        registry.manifest(&self.origin, &self.reference).await
    }

    fn verdict(outcome: &Result<Content, UpstreamError>) -> Verdict {
        outcome.as_ref().err().cloned().map_or(Verdict::Reported, Verdict::Failed)
    }

    fn holding(response: Content, permit: UpstreamPermit) -> Content {
        response.holding(permit)
    }
}

impl UpstreamRequest for HeadBlob {
    type Response = ContentHead;
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Blobs;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ContentHead, UpstreamError> {
        registry.head_blob(&self.origin, &self.digest).await
    }
}

impl UpstreamRequest for GetBlob {
    type Response = Content;
    const POOL: Pool = Pool::Content;
    const KIND: ContentKind = ContentKind::Blobs;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<Content, UpstreamError> {
        registry.blob(&self.origin, &self.digest, self.from).await
    }

    fn urgency(&self) -> Urgency {
        if self.from > 0 { Urgency::Continuing } else { Urgency::Awaited }
    }

    fn holding(response: Content, permit: UpstreamPermit) -> Content {
        response.holding(permit)
    }
}

impl UpstreamRequest for GetBlobRange {
    type Response = Option<Content>;
    const POOL: Pool = Pool::Range;
    const KIND: ContentKind = ContentKind::Blobs;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<Option<Content>, UpstreamError> {
        registry.blob_range(&self.origin, &self.digest, &self.range).await
    }

    fn urgency(&self) -> Urgency {
        self.urgency
    }

    fn holding(response: Option<Content>, permit: UpstreamPermit) -> Option<Content> {
        response.map(|content| content.holding(permit))
    }
}

impl UpstreamRequest for ListTags {
    type Response = ListPage;
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Lists;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ListPage, UpstreamError> {
        registry.tags(&self.origin, &self.query).await
    }
}

impl UpstreamRequest for ListReferrers {
    type Response = ListPage;
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Lists;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ListPage, UpstreamError> {
        registry.referrers(&self.origin, &self.digest, &self.query).await
    }
}
