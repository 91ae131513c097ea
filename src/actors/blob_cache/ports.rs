//! What the blob cache needs of upstream, as narrow as it uses it, so that its tests can cut, lie and stall.

use std::ops::Range;

use futures::future::BoxFuture;

use crate::actors::upstream_fetcher::Upstream;
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::upstream::{Content, ContentHead, UpstreamError};

/// Asks upstream registries for blobs. The futures and streams may be polled on any thread.
pub trait BlobUpstream: Send + Sync + 'static {
    /// The blob from byte `from` on; the head tells the length of the whole.
    fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> BoxFuture<'static, Result<Content, UpstreamError>>;

    /// These bytes of the blob, at least one; the head tells the length of the whole. `None`: upstream ignores ranges.
    fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>>;

    /// Whether the blob is there, and how long it is.
    fn head_blob(&self, origin: &Origin, digest: &Digest) -> BoxFuture<'static, Result<ContentHead, UpstreamError>>;
}

impl BlobUpstream for Upstream {
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

/// What is downloaded once, whoever asks: a blob, as this account gets it from this repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    pub(super) digest: Digest,
}
