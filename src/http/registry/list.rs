//! Lists of tags and referrers, passed through from upstream to callers who may pull. They are never stored.

use actix_web::http::header::{HeaderName, LINK};
use actix_web::{HttpRequest, HttpResponse};

use super::super::long_body;
use super::authorized::Authorized;
use super::error::RegistryError;
use super::state::RegistryState;
use crate::actors::lists::ListPage;
use crate::actors::pull_failure::PullFailure;
use crate::domain::digest::Digest;
use crate::domain::list_query::{ListQuery, namespace_parameter};

/// The filters that upstream applied to a list of referrers (OCI distribution specification, "Listing Referrers").
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Responds to `GET .../tags/list` (OCI distribution specification, "Listing Tags").
///
/// # Errors
/// The query cannot be passed on, or upstream did not send the list.
pub(super) async fn tags(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.tags(authorized.group().id, authorized.origin(), &query(request)?).await;
    Ok(respond(request, list.map_err(|failure| failed(failure, authorized))?))
}

/// Responds to `GET .../referrers/<digest>` (OCI distribution specification, "Listing Referrers"). If upstream has
/// no such API, its 404 is passed on, so that clients look for the tag `sha256-<hex>`. An empty index would mean
/// that nothing refers to the image.
///
/// # Errors
/// The query cannot be passed on, or upstream did not send the list.
pub(super) async fn referrers(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    digest: &Digest,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.referrers(authorized.group().id, authorized.origin(), digest, &query(request)?).await;
    Ok(respond(request, list.map_err(|failure| failed(failure, authorized))?))
}

/// Parses the query that is passed on to upstream. It excludes the parameter `ns`, which is meant for this service.
fn query(request: &HttpRequest) -> Result<ListQuery, RegistryError> {
    Ok(request.query_string().parse()?)
}

/// Responds with a page of the list. Its link to the next page leads to this service, not to upstream.
fn respond(request: &HttpRequest, list: ListPage) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(list.media_type);
    if let Some(filters) = list.filters {
        response.insert_header((FILTERS_APPLIED, filters));
    }
    if let Some(next) = list.next {
        let next = next.with_namespace(namespace_parameter(request.query_string()));
        response.insert_header((LINK, format!("<{}?{next}>; rel=\"next\"", request.uri().path())));
    }
    long_body::respond(response, list.body)
}

fn failed(failure: PullFailure, authorized: &Authorized) -> RegistryError {
    RegistryError::failed(failure, authorized.target().clone(), authorized.reader())
}
