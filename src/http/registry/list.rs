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
        let next = next_page(&next, query_value(request, "ns").as_deref());
        response.insert_header((LINK, format!("<{}?{next}>; rel=\"next\"", request.uri().path())));
    }
    response.body(list.body)
}

/// The query of the next page: upstream's, asked of the same upstream as this one whatever it says.
fn next_page(theirs: &str, namespace: Option<&str>) -> String {
    let theirs: Vec<(String, String)> = serde_urlencoded::from_str(theirs).unwrap_or_default();
    let ours = namespace.map(|name| ("ns".to_owned(), name.to_owned()));
    let pairs: Vec<_> = theirs.into_iter().filter(|(key, _)| key != "ns").chain(ours).collect();
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

fn failed(failure: PullFailure, authorized: &Authorized) -> RegistryError {
    RegistryError::Failed { failure: failure.into(), target: authorized.target().clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_cannot_send_the_next_page_elsewhere() {
        assert_eq!(next_page("n=2&ns=evil.example&last=a%2Fb", Some("ghcr.io")), "n=2&last=a%2Fb&ns=ghcr.io");
        assert_eq!(next_page("ns=evil.example&last=b", None), "last=b");
    }
}
