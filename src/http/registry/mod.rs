//! The registry's routes below `/v2` (OCI distribution specification, "Pull"). Everything needs an [`Authorized`] value.

mod blob;
mod list;
mod manifest;

use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::authorized::{self, Authorized, query_value};
use super::error::RegistryError;
use super::state::RegistryState;
use crate::domain::image_path::{ImagePathError, Target};

/// Answers everything at and below `/v2`.
pub(super) async fn answer(request: HttpRequest, state: Data<RegistryState>) -> HttpResponse {
    route(&request, &state).await.unwrap_or_else(|error| error.respond(&state, &request))
}

/// Answers every path that no route has.
pub(super) async fn nothing_here(request: HttpRequest, state: Data<RegistryState>) -> HttpResponse {
    std::future::ready(RegistryError::Path(ImagePathError::NoSuchRoute).respond(&state, &request)).await
}

async fn route(request: &HttpRequest, state: &RegistryState) -> Result<HttpResponse, RegistryError> {
    if !state.proxy_enabled() {
        return Err(RegistryError::ProxyOff);
    }
    let path = request.uri().path();
    if ![Method::GET, Method::HEAD].contains(request.method()) || path == "/v2/_catalog" {
        return Err(RegistryError::ReadOnly);
    }
    if matches!(path, "/v2" | "/v2/") {
        authorized::identify(state, request)?;
        return Ok(base());
    }
    let authorized = Authorized::check(state, request)?;
    let mut response = match authorized.target() {
        Target::Manifest(reference) => manifest::pull(request, state, &authorized, reference).await?,
        Target::Blob(digest) => blob::pull(request, state, &authorized, digest).await?,
        Target::Tags => list::tags(request, state, &authorized).await?,
        Target::Referrers(digest) => list::referrers(request, state, &authorized, digest).await?,
    };
    if let Some(name) = query_value(request, "ns").and_then(|name| name.parse().ok()) {
        response.headers_mut().insert(NAMESPACE, name);
    }
    Ok(response)
}

/// Which upstream it is of (OCI distribution specification, "Registry proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// What tells a client that this is a registry.
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
/// The digest of what is sent, or would be.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Where it came from.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

fn base() -> HttpResponse {
    HttpResponse::Ok().insert_header(API_VERSION).content_type("application/json").body("{}")
}
