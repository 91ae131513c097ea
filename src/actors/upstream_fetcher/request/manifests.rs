//! Requests for manifests and indexes.

use std::sync::Arc;
use std::time::Duration;

use super::{ContentKind, UpstreamRequest, Urgency, Verdict};
use crate::actors::upstream_fetcher::permits::{Pool, UpstreamPermit};
use crate::domain::deadlines;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::upstream::{Content, ManifestHead, Registry, UpstreamError};

/// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is a claim.
#[derive(Clone, Debug)]
pub struct HeadManifest {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
    /// The time for a revalidation, after which a stale manifest can be served; `None` if there is none.
    pub revalidation: Option<Duration>,
    /// The group for which it is requested.
    pub group: GroupId,
}

/// Requests a manifest or index. The caller has to bound its length, verify its digest, and
/// [report](crate::actors::upstream_fetcher::UpstreamHandle::report) whether it was valid.
#[derive(Clone, Debug)]
pub struct GetManifest {
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
    /// The group for which it is requested.
    pub group: GroupId,
    /// True if a stale manifest can be served instead.
    pub has_stale: bool,
}

impl UpstreamRequest for HeadManifest {
    type Response = ManifestHead;
    const NAME: &'static str = "head manifest";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Manifests;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn group(&self) -> Option<GroupId> {
        Some(self.group)
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

    fn is_conclusive(head: &ManifestHead) -> bool {
        head.confirmed().is_some()
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
    const NAME: &'static str = "get manifest";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Manifests;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn group(&self) -> Option<GroupId> {
        Some(self.group)
    }

    fn is_pull(&self) -> bool {
        true
    }

    fn is_held(&self) -> bool {
        !self.has_stale
    }

    async fn send(self, registry: Arc<Registry>) -> Result<Content, UpstreamError> {
        registry.manifest(&self.origin, &self.reference).await
    }

    fn verdict(outcome: &Result<Content, UpstreamError>) -> Verdict {
        outcome.as_ref().err().cloned().map_or(Verdict::Reported, Verdict::Failed)
    }

    fn length(content: &Content) -> Option<u64> {
        content.head.length
    }

    fn holding(response: Content, permit: UpstreamPermit) -> Content {
        response.holding(permit)
    }
}
