//! Lists, passed through from upstream for those who may pull. Never stored.

use actix_web::http::header::{HeaderName, LINK};
use actix_web::{HttpRequest, HttpResponse};

use super::super::authorized::Authorized;
use super::super::error::RegistryError;
use super::super::long_body;
use super::super::state::RegistryState;
use crate::actors::failure::PullFailure;
use crate::actors::lists::ListAnswer;
use crate::domain::digest::Digest;
use crate::domain::list_query::{ListQuery, namespace_parameter};

/// The filters of a list of referrers that upstream applied (OCI distribution specification, "Listing Referrers").
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Answers `GET .../tags/list`.
pub(super) async fn tags(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.tags(authorized.group().id, authorized.origin(), &query(request)?).await;
    Ok(respond(request, list.map_err(|failure| failed(failure, authorized))?))
}

/// Answers `GET .../referrers/<digest>`. Where upstream has no such list this is a 404, so that clients look for the tag
/// `sha256-<hex>`: an empty index would tell them that nothing refers to the image.
pub(super) async fn referrers(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    digest: &Digest,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.referrers(authorized.group().id, authorized.origin(), digest, &query(request)?).await;
    Ok(respond(request, list.map_err(|failure| failed(failure, authorized))?))
}

/// What the client asks of the list, without the `ns` that is ours.
fn query(request: &HttpRequest) -> Result<ListQuery, RegistryError> {
    Ok(request.query_string().parse()?)
}

/// A page with the link to the next one, which is requested here and not upstream.
fn respond(request: &HttpRequest, list: ListAnswer) -> HttpResponse {
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
    RegistryError::Failed { failure: failure.into(), target: authorized.target().clone() }
}
