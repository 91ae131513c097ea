//! Blobs (configurations and layers), whole or in ranges, from the cache or while they are downloaded (OCI
//! distribution specification, "Pulling blobs").

use std::net::IpAddr;
use std::sync::LazyLock;

use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderValue, IF_RANGE, RANGE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use jiff::Timestamp;

use super::authorized::Authorized;
use super::body::BlobBody;
use super::error::RegistryError;
use super::multipart::{MultipartBody, content_range};
use super::state::RegistryState;
use super::{API_VERSION, X_CACHE, name_content, redirect};
use crate::actors::blob_cache::{BlobError, BlobReader, OpenBlob};
use crate::actors::cache_status::CacheStatus;
use crate::actors::pull_failure::{Cause, PullFailure, image_name};
use crate::actors::traffic::ServedBytes;
use crate::domain::byte_range::{RangeError, RangeSet, Selected, requested};
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::image_path::Target;
use crate::telemetry::{CountersBy, LineLimit};

static PULLS: LazyLock<CountersBy> = LazyLock::new(|| {
    CountersBy::new(
        &CacheStatus::LABELS,
        |word| metrics::counter!("dependency_proxy_blob_pulls_total", "cache" => word),
    )
});

/// Responds to `GET` and `HEAD` of a blob. A `HEAD` ignores `Range`, which is defined for `GET` only (RFC 9110,
/// section 14.2).
///
/// # Errors
/// The `Range` header is invalid, or the blob is neither stored nor to be had from upstream.
pub(super) async fn pull(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    digest: &Digest,
) -> Result<HttpResponse, RegistryError> {
    let origin = authorized.origin().clone();
    let wanted = OpenBlob { group: authorized.group().id, origin, digest: *digest };
    if request.method() == Method::HEAD {
        let found = state.blobs.head(wanted).await;
        log(authorized, digest, found.as_ref().map(|(_, source)| *source));
        let (length, source) = found.map_err(|error| failed(&error, authorized, digest))?;
        return Ok(BlobBody::respond_to_head(response(digest, source), length));
    }
    let ranges = ranges(request, digest)?;
    // A client that comes back for the same blob soon may have found it damaged: it is verified then.
    let whole_for = ranges.is_none().then(|| client(request, authorized));
    if let Some(redirected) = redirect::to_object_store(request, state, authorized, (digest, whole_for)).await {
        log(authorized, digest, Ok(CacheStatus::Hit));
        state.reads.note(digest, Timestamp::now());
        return Ok(redirected);
    }
    let opened = match &ranges {
        None => state.blobs.open(wanted).await,
        Some(ranges) => state.blobs.open_ranges(wanted, ranges).await,
    };
    log(authorized, digest, opened.as_ref().map(BlobReader::source));
    let opened = opened.map_err(|error| failed(&error, authorized, digest))?;
    state.reads.note(digest, Timestamp::now());
    if let Some(client) = whole_for {
        state.blobs.given_whole(&opened, digest, client);
    }
    let response = response(digest, opened.source());
    let served = state.traffic.of(authorized.group().id).served(opened.source());
    send(request, response, opened, ranges, served)
}

fn send(
    request: &HttpRequest,
    mut response: HttpResponseBuilder,
    opened: BlobReader,
    ranges: Option<RangeSet>,
    served: ServedBytes,
) -> Result<HttpResponse, RegistryError> {
    let length = opened.length();
    let part = match ranges.map_or(Selected::Whole, |ranges| opened.select(&ranges)) {
        Selected::Whole => 0..length,
        Selected::Part(part) => {
            response.status(StatusCode::PARTIAL_CONTENT);
            response.insert_header((CONTENT_RANGE, content_range(&part, length)));
            part
        }
        Selected::Parts(parts) => return Ok(MultipartBody::respond(response, request, opened, parts, served)),
        Selected::Unsatisfiable => return Err(RegistryError::Unsatisfiable { length }),
    };
    Ok(BlobBody::respond(response, request, opened, part, served))
}

/// Returns the ranges that a `GET` requests, if any.
fn ranges(request: &HttpRequest, digest: &Digest) -> Result<Option<RangeSet>, RangeError> {
    let Some(range) = header(request, RANGE) else { return Ok(None) };
    let if_range = header(request, IF_RANGE);
    let etag = if_range.map(|_| digest.to_string()).unwrap_or_default();
    requested(Some(range), if_range, &etag)
}

/// Starts a response with the headers that `GET` and `HEAD` have in common.
fn response(digest: &Digest, source: CacheStatus) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    name_content(&mut response, digest)
        .insert_header(API_VERSION)
        .insert_header((ACCEPT_RANGES, HeaderValue::from_static("bytes")))
        .insert_header((X_CACHE, HeaderValue::from_static(source.word())))
        .content_type("application/octet-stream");
    response
}

fn failed(error: &BlobError, authorized: &Authorized, digest: &Digest) -> RegistryError {
    if let BlobError::Store(error) = error {
        static LINES: LineLimit<()> = LineLimit::new();
        if let Some(left_out) = LINES.admit(&()) {
            tracing::error!(%error, %digest, left_out, "a stored blob could not be read");
        }
    }
    let origin = authorized.origin().clone();
    let image = format!("blob {}", image_name(&origin, &digest.to_string()));
    let failure = PullFailure { origin, image, cause: Cause::from(error), is_list: false };
    RegistryError::failed(failure, Target::Blob(*digest), authorized.reader())
}

/// Returns a number that identifies the client: from its credential, or from its address if there is none.
fn client(request: &HttpRequest, authorized: &Authorized) -> u64 {
    let address = || match request.peer_addr().map(|peer| peer.ip()) {
        Some(IpAddr::V4(address)) => address.to_bits().into(),
        Some(IpAddr::V6(address)) => address.to_bits() as u64,
        None => 0,
    };
    authorized.identity().credential().map_or_else(address, CredentialId::half)
}

fn log(authorized: &Authorized, digest: &Digest, found: Result<CacheStatus, &BlobError>) {
    let word = found.map_or("failed", CacheStatus::word);
    PULLS.count(word);
    tracing::debug!(
        principal = %authorized.identity().principal(),
        group = %authorized.group().path,
        image = %authorized.origin(),
        %digest,
        cache = word,
        error = found.err().map(tracing::field::display),
        "blob"
    );
}

fn header(request: &HttpRequest, name: actix_web::http::header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}
