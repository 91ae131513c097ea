//! Upstream operations that the blob cache uses, as a trait, so that tests can inject failures.

use std::ops::Range;

use futures::future::BoxFuture;

use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::upstream::{Content, ContentHead, UpstreamError};

/// Requests for blobs at upstream registries. The futures and streams may be polled on any thread.
pub trait BlobUpstream: Send + Sync + 'static {
    /// Requests the blob from byte `from` to its end. The head states the length of the whole blob, if
    /// upstream reports it.
    fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> BoxFuture<'static, Result<Content, UpstreamError>>;

    /// Requests these bytes of the blob, at least one. The head states the length of the whole blob, if upstream
    /// reports it. Returns `None` if upstream ignores ranges.
    fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>>;

    /// Sends a `HEAD`: fails if upstream does not have the blob, and returns its length.
    fn head_blob(&self, origin: &Origin, digest: &Digest) -> BoxFuture<'static, Result<ContentHead, UpstreamError>>;
}

impl BlobUpstream for UpstreamHandle {
    fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        let (upstream, origin, digest) = (self.clone(), origin.clone(), *digest);
        Box::pin(async move { upstream.blob(&origin, &digest, from).await })
    }

    fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        let (upstream, origin, digest) = (self.clone(), origin.clone(), *digest);
        Box::pin(async move { upstream.blob_range(&origin, &digest, range).await })
    }

    fn head_blob(&self, origin: &Origin, digest: &Digest) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        let (upstream, origin, digest) = (self.clone(), origin.clone(), *digest);
        Box::pin(async move { upstream.head_blob(&origin, &digest).await })
    }
}

/// Key under which downloads are shared: a blob, as this account gets it from this repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlobKey {
    pub(super) origin: Origin,
    pub(super) digest: Digest,
}
