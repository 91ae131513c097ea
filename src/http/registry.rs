//! The registry's routes below `/v2` (OCI distribution specification, "Pull"). All but the version check need an
//! [`Authorized`] value.
//!
//! | module | content |
//! |---|---|
//! | [`authorized`] | who the caller is, and whether the pull is allowed |
//! | [`path_cache`] | the meaning of a request path |
//! | [`manifest`], [`blob`], [`list`] | the routes: manifests, blobs, lists of tags and referrers |
//! | [`redirect`] | redirects to the object store of a fleet |
//! | [`body`], [`multipart`] | the way of a blob's bytes to the socket; several ranges in one response |
//! | [`token`] | `/jwt/auth`: login tokens |
//! | [`error`] | statuses, codes and sentences of errors |
//! | [`state`] | the state that the routes share |
//! | [`traced`] | the span of a pull |

mod authorized;
mod blob;
pub(super) mod body;
pub(super) mod error;
mod list;
mod manifest;
mod multipart;
pub(super) mod path_cache;
mod redirect;
pub(super) mod state;
pub(super) mod token;
mod traced;

use actix_web::http::Method;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use self::authorized::Authorized;
use self::error::RegistryError;
use self::state::RegistryState;
use super::query::query_value;
use super::send_queue::SendQueue;
use crate::domain::digest::Digest;
use crate::domain::image_path::{ImagePathError, Target};
use crate::telemetry::TraceParent;

/// Responds to every request at and below `/v2`. Any other path is not found.
pub(super) async fn handle(request: HttpRequest, state: Data<RegistryState>) -> HttpResponse {
    let Some(span) = traced::begin(&request) else { return respond(&request, &state).await };
    let response = TraceParent::during(Some(span.parent()), respond(&request, &state)).await;
    traced::end(span, &request, &state, &response);
    response
}

async fn respond(request: &HttpRequest, state: &RegistryState) -> HttpResponse {
    match route(request, state).await {
        Ok(response) => response,
        Err(error) => error.confirmed(state).await.respond(state, request),
    }
}

async fn route(request: &HttpRequest, state: &RegistryState) -> Result<HttpResponse, RegistryError> {
    let path = request.uri().path();
    if path != "/v2" && !path.starts_with("/v2/") {
        return Err(ImagePathError::NoSuchRoute.into());
    }
    // Everything below reads the identities after this.
    state.policy.validity().hold().await?;
    if !state.proxy_enabled() {
        return Err(RegistryError::ProxyOff);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) || path == "/v2/_catalog" {
        return Err(RegistryError::ReadOnly);
    }
    if matches!(path, "/v2" | "/v2/") {
        authorized::identify(state, request)?;
        return Ok(base());
    }
    let authorized = Authorized::check(state, request)?;
    if let Some(queue) = request.conn_data::<SendQueue>() {
        queue.set_group(authorized.group().id);
    }
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

/// The upstream of the content (OCI distribution specification, "Registry proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// Header by which clients recognize a registry.
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
/// Digest of the content that is sent, or that a `GET` would send.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Sets the digest and the `ETag` of the content. The entity tag, by which caches and `If-Range` compare contents,
/// is the quoted digest.
fn name_content<'a>(response: &'a mut HttpResponseBuilder, digest: &Digest) -> &'a mut HttpResponseBuilder {
    let quoted = Bytes::from(format!("\"{digest}\""));
    let plain = quoted.slice(1..quoted.len() - 1);
    for (name, value) in [(CONTENT_DIGEST, plain), (ETAG, quoted)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            response.insert_header((name, value));
        }
    }
    response
}

/// Cache status of the response: [`CacheStatus::word`](crate::actors::cache_status::CacheStatus::word).
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

fn base() -> HttpResponse {
    HttpResponse::Ok().insert_header(API_VERSION).content_type("application/json").body("{}")
}
