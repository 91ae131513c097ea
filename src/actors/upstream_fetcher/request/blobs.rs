//! Requests for blobs and for ranges of them.

use std::ops::Range;
use std::sync::Arc;

use super::{ContentKind, UpstreamRequest, Urgency};
use crate::actors::upstream_fetcher::permits::{Pool, UpstreamPermit};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::upstream::{Content, ContentHead, Registry, UpstreamError};

/// Sends a `HEAD` for a blob. A success proves that this account may read the blob in this repository.
#[derive(Clone, Debug)]
pub struct HeadBlob {
    /// The group for which it is sent, where one is known.
    pub group: Option<GroupId>,
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
    /// True if all groups that wait for it have a granted link: it need not come from upstream.
    pub granted: bool,
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

impl UpstreamRequest for HeadBlob {
    type Response = ContentHead;
    const NAME: &'static str = "head blob";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Blobs;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn group(&self) -> Option<GroupId> {
        self.group
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ContentHead, UpstreamError> {
        registry.head_blob(&self.origin, &self.digest).await
    }
}

impl UpstreamRequest for GetBlob {
    type Response = Content;
    const NAME: &'static str = "get blob";
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

    fn length(content: &Content) -> Option<u64> {
        content.head.length
    }

    fn holding(response: Content, permit: UpstreamPermit) -> Content {
        response.holding(permit)
    }
}

impl UpstreamRequest for GetBlobRange {
    type Response = Option<Content>;
    const NAME: &'static str = "get blob range";
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
