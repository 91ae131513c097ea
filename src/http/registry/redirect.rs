//! Redirects of clients to the object store of a fleet: the response to a `GET` of a blob that is there is a URL that
//! the store accepts for a minute, so that the bytes do not pass through a replica.

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse};

use super::authorized::Authorized;
use super::state::RegistryState;
use super::{API_VERSION, X_CACHE, name_content};
use crate::actors::blob_cache::OpenBlob;
use crate::actors::cache_status::CacheStatus;
use crate::domain::digest::Digest;
use crate::domain::redirects::RedirectMode;

/// Minimum length in bytes of a blob for which a client is redirected: for a shorter one another request costs more.
const MIN_BYTES: u64 = 1 << 20;

/// Returns the response that redirects a client to the object store; `None` if the blob is sent instead. `client`
/// identifies one that requests the whole blob.
pub(super) async fn to_object_store(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    (digest, client): (&Digest, Option<u64>),
) -> Option<HttpResponse> {
    let redirects = &state.redirects;
    if !redirects.applies_to(state.public_url.client(request)) {
        return None;
    }
    let origin = authorized.origin().clone();
    let wanted = OpenBlob { group: authorized.group().id, origin, digest: *digest };
    let url = state.blobs.url(&wanted, redirects.mode == RedirectMode::Cold, MIN_BYTES, client).await?;
    metrics::counter!("dependency_proxy_fleet_redirects_total").increment(1);
    let mut response = HttpResponse::TemporaryRedirect();
    name_content(&mut response, digest)
        .insert_header(API_VERSION)
        .insert_header((X_CACHE, CacheStatus::Hit.word()))
        // The URL ends before a cache would forget it.
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, url.as_str()));
    Some(response.finish())
}
