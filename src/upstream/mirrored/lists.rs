//! Lists of tags and referrers, page by page.
//!
//! The token of the next page of a list belongs to the registry that sent it. Where there are mirrors, the query of
//! each next page names its registry by a mark, and that registry alone is requested for it.

use std::sync::Arc;

use super::mirror::Mirror;
use super::{Registry, by};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
use crate::upstream::error::UpstreamError;
use crate::upstream::list::ListPage;
use crate::upstream::mirror_state::Item;
use crate::upstream::registry::RegistryClient;

impl Registry {
    /// Requests a page of the list of tags.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send one.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListPage, UpstreamError> {
        self.list(origin, query, async |client, origin, query| client.tags(origin, query).await).await
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
        self.list(origin, query, async |client, origin, query| client.referrers(origin, digest, query).await).await
    }

    async fn list(
        &self,
        origin: &Origin,
        query: &ListQuery,
        request: impl AsyncFn(&RegistryClient, &Origin, &ListQuery) -> Result<ListPage, UpstreamError>,
    ) -> Result<ListPage, UpstreamError> {
        let deadline = self.deadline(deadlines::LIST);
        let marked = query.marked().and_then(|(query, mark)| self.begun(query, mark));
        let (query, begun) = marked.map_or_else(|| (query.clone(), None), |(query, begun)| (query, Some(begun)));
        let send = async |client: &RegistryClient, origin: &Origin| Box::pin(request(client, origin, &query)).await;
        let page_of = async |mirror: &Arc<Mirror>| {
            let page = mirror.request(origin, &Item::List, &send).await?;
            Some(page.marked(mirror.client().mark()))
        };
        match begun {
            Some(Begun::Mirror(mirror)) => {
                let reason = "the mirror that sent the pages before does not send the next one".to_owned();
                return page_of(mirror).await.ok_or(UpstreamError::Interrupted { reason });
            }
            Some(Begun::Own) => {}
            None => {
                if let Some(page) = self.of_mirrors(page_of).await {
                    return Ok(page);
                }
            }
        }
        let page = by(deadline, self.by_own(send(&self.own, origin))).await?;
        Ok(if self.mirrors.is_empty() { page } else { page.marked(self.own.mark()) })
    }

    /// Returns the query of a page without the mark of the registry that sent the pages before, and that registry.
    /// `None` if there are no mirrors, or if the mark is that of no registry of this upstream.
    fn begun(&self, query: ListQuery, mark: &str) -> Option<(ListQuery, Begun<'_>)> {
        let of_mirror = self.mirrors.iter().find(|mirror| mirror.client().mark() == mark).map(Begun::Mirror);
        let of_own = || (!self.mirrors.is_empty() && self.own.mark() == mark).then_some(Begun::Own);
        Some((query, of_mirror.or_else(of_own)?))
    }
}

/// The registry that sent the pages of a list before.
enum Begun<'a> {
    Mirror(&'a Arc<Mirror>),
    Own,
}
