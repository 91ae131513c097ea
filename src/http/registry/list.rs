//! Lists, passed through from upstream for those who may pull. Never stored.

use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse};

use super::super::authorized::{Authorized, query_value};
use super::super::error::RegistryError;
use super::super::state::RegistryState;
use crate::actors::failure::PullFailure;
use crate::actors::lists::{ListAnswer, ListQuery};
use crate::domain::digest::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const NO_REFERRERS: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Answers `GET .../tags/list`.
pub(super) async fn tags(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.tags(authorized.origin(), &query(request)).await;
    Ok(respond(request, list.map_err(|failure| failed(failure, authorized))?))
}

/// Answers `GET .../referrers/<digest>`; an empty index where upstream has no such list.
pub(super) async fn referrers(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    digest: &Digest,
) -> Result<HttpResponse, RegistryError> {
    let list = state.lists.referrers(authorized.origin(), digest, &query(request)).await;
    match list.map_err(|failure| failed(failure, authorized))? {
        Some(list) => Ok(respond(request, list)),
        None => Ok(HttpResponse::Ok().content_type(INDEX).body(NO_REFERRERS)),
    }
}

fn query(request: &HttpRequest) -> ListQuery {
    ListQuery {
        n: query_value(request, "n").and_then(|n| n.parse().ok()),
        last: query_value(request, "last"),
        artifact_type: query_value(request, "artifactType"),
    }
}

/// The next page is asked for here, not upstream.
fn respond(request: &HttpRequest, list: ListAnswer) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(list.media_type.unwrap_or_else(|| "application/json".to_owned()));
    if let Some(next) = list.next {
        // Without it the next page would be asked of another upstream.
        let ns = query_value(request, "ns").map(|name| format!("&ns={name}")).unwrap_or_default();
        response.insert_header((LINK, format!("<{}?{next}{ns}>; rel=\"next\"", request.uri().path())));
    }
    response.body(list.body)
}

fn failed(failure: PullFailure, authorized: &Authorized) -> RegistryError {
    RegistryError::Failed { failure: failure.into(), target: authorized.target().clone() }
}
