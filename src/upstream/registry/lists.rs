//! Requests for lists (OCI distribution specification, "Content Discovery").

use reqwest::Method;

use super::super::content::{self, ContentHead};
use super::super::error::UpstreamError;
use super::super::list::{ListKind, ListPage, MAX_LIST_BYTES};
use super::super::response::Refusal;
use super::RegistryClient;
use super::content_request::ContentRequest;
use super::requests::{content_of, with_timeout};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::manifest::ACCEPTED;
use crate::domain::origin::Origin;

impl RegistryClient {
    /// Requests a page of the list of tags.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send one.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListPage, UpstreamError> {
        let wanted = ContentRequest::new("list", Method::GET, "tags/list".to_owned());
        self.list(origin, ListKind::Tags, wanted, query).await
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
        let wanted = ContentRequest::new("list", Method::GET, format!("referrers/{digest}")).accepting(&ACCEPTED[..1]);
        self.list(origin, ListKind::Referrers, wanted, query).await
    }

    async fn list(
        &self,
        origin: &Origin,
        kind: ListKind,
        wanted: ContentRequest<'_>,
        query: &ListQuery,
    ) -> Result<ListPage, UpstreamError> {
        let wanted = ContentRequest { query: query.as_str(), ..wanted };
        let page = async {
            let response = self.request_twice(origin, wanted, Refusal::OfRegistry).await?;
            let headers = response.headers().clone();
            let content = content_of(ContentHead::default(), response, 0, self.idle_timeout);
            let body = with_timeout(self.header_timeout, content::collect(content.stream, MAX_LIST_BYTES)).await?;
            ListPage::read(kind, query, &headers, body)
        };
        with_timeout(deadlines::LIST, page).await
    }
}
