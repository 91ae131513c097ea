//! Requests for lists of tags and referrers.

use std::sync::Arc;

use super::{ContentKind, UpstreamRequest};
use crate::actors::upstream_fetcher::permits::Pool;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
use crate::upstream::{ListPage, Registry, UpstreamError};

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

impl UpstreamRequest for ListTags {
    type Response = ListPage;
    const NAME: &'static str = "list tags";
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
    const NAME: &'static str = "list referrers";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Lists;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn send(self, registry: Arc<Registry>) -> Result<ListPage, UpstreamError> {
        registry.referrers(&self.origin, &self.digest, &self.query).await
    }
}
