//! Configurations and layers, whole or in part, from the cache or as they arrive.

use std::sync::LazyLock;

use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::super::authorized::Authorized;
use super::super::body::BlobBody;
use super::super::error::RegistryError;
use super::super::state::RegistryState;
use super::{API_VERSION, X_CACHE, name_content};
use crate::actors::blob_cache::{BlobError, OpenBlob, OpenedBlob};
use crate::actors::failure::{Cause, PullFailure, image_name};
use crate::actors::manifests::CACHE_WORDS;
use crate::domain::byte_range::{Wanted, wanted};
use crate::domain::digest::Digest;
use crate::domain::image_path::Target;
use crate::telemetry::CountersBy;

static PULLS: LazyLock<CountersBy> = LazyLock::new(|| {
    CountersBy::new(&CACHE_WORDS, |word| metrics::counter!("dependency_proxy_blob_pulls_total", "cache" => word))
});

/// Answers `GET` and `HEAD` of a blob.
pub(super) async fn pull(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    digest: &Digest,
) -> Result<HttpResponse, RegistryError> {
    let origin = authorized.origin().clone();
    let question = OpenBlob { group: authorized.group().id, origin, digest: *digest };
    let opened = state.blobs.open(question).await;
    log(authorized, digest, opened.as_ref());
    let opened = opened.map_err(|error| failed(&error, authorized, digest))?;
    let head = request.method() == Method::HEAD;
    // RFC 9110, section 14.2: a range means something for GET alone.
    let range = header(request, RANGE).filter(|_| !head);
    let if_range = header(request, IF_RANGE);
    let etag = if_range.map(|_| digest.to_string()).unwrap_or_default();
    let length = opened.length();
    let mut response = HttpResponse::Ok();
    let part = match wanted(range, if_range, &etag, length) {
        Wanted::Whole => 0..length,
        Wanted::Part(part) => {
            response.status(StatusCode::PARTIAL_CONTENT);
            response.insert_header((CONTENT_RANGE, format!("bytes {}-{}/{length}", part.start, part.end - 1)));
            part
        }
        Wanted::Malformed => return Err(RegistryError::MalformedRange),
        Wanted::Unsatisfiable => return Err(RegistryError::Unsatisfiable { length }),
    };
    name_content(&mut response, digest)
        .insert_header(API_VERSION)
        .insert_header((ACCEPT_RANGES, HeaderValue::from_static("bytes")))
        .insert_header((X_CACHE, HeaderValue::from_static(opened.source().word())))
        .content_type("application/octet-stream");
    if head {
        return Ok(BlobBody::answer_head(response, length));
    }
    Ok(BlobBody::answer(response, request, opened, part))
}

fn failed(error: &BlobError, authorized: &Authorized, digest: &Digest) -> RegistryError {
    let origin = authorized.origin().clone();
    let image = format!("blob {}", image_name(&origin, &digest.to_string()));
    let failure = PullFailure { origin, image, cause: Cause::from(error) };
    RegistryError::Failed { failure: failure.into(), target: Target::Blob(*digest) }
}

fn log(authorized: &Authorized, digest: &Digest, opened: Result<&OpenedBlob, &BlobError>) {
    let word = opened.map_or("failed", |opened| opened.source().word());
    PULLS.count(word);
    tracing::debug!(
        principal = authorized.identity().principal(),
        group = %authorized.group().path,
        image = %authorized.origin(),
        %digest,
        cache = word,
        error = opened.err().map(tracing::field::display),
        "blob"
    );
}

fn header(request: &HttpRequest, name: actix_web::http::header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}
