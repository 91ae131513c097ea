//! The internal port of a replica, for the other replicas of its fleet. Each request is signed with the secret of the
//! fleet, and each response, too. Blobs are sent to replicas that show neither group nor user: they have checked these.

use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::registry::body::BlobBody;
use crate::actors::blob_cache::{BlobCacheHandle, Transfer};
use crate::actors::cache_status::CacheStatus;
use crate::actors::follower::FollowerHandle;
use crate::actors::replica_signing::{ReplicaSigning, Signing};
use crate::actors::shared_downloads::SharedDownloads;
use crate::actors::shared_manifests::SharedManifests;
use crate::domain::deadlines;
use crate::domain::directory::Version;
use crate::domain::fleet::State;
use crate::domain::fleet::messages::{
    BLOB_LENGTH, BLOB_PATH, BLOB_STATE, BlobOf, DIGEST, MANIFEST_PATH, MEDIA_TYPE, MINUTE, ManifestOf, NONCE,
    ReplicaVersion, SIGNATURE, STORED, VERSION_PATH, request_text, response_text,
};
use crate::domain::id::ReplicaId;
use crate::telemetry::LineLimit;

/// State of the routes of the internal port.
pub(crate) struct ReplicaState {
    /// The follower, which looks for changes.
    pub(crate) follower: FollowerHandle,
    /// Signatures of messages.
    pub(crate) signing: ReplicaSigning,
    /// This replica.
    pub(crate) replica: ReplicaId,
    /// The stored blobs and running downloads.
    pub(crate) blobs: BlobCacheHandle,
    /// The blobs that this replica has received.
    pub(crate) downloads: SharedDownloads,
    /// The manifests that this replica fetches, or has received.
    pub(crate) manifests: SharedManifests,
}

#[derive(Deserialize)]
struct VersionQuery {
    at_least: Version,
    history: String,
    wait_ms: u64,
}

/// Maximum age of a request in minutes; clocks of two machines may differ by as much.
const MAX_MINUTES: u64 = 2;

/// Registers the routes of the internal port.
pub(crate) fn configure_replicas(config: &mut web::ServiceConfig) {
    config
        .route(VERSION_PATH, web::get().to(version))
        .route(MANIFEST_PATH, web::get().to(manifest))
        .route(BLOB_PATH, web::get().to(blob));
}

/// Responds with the version of the directory of this replica, once it is at least the requested one or after a time.
async fn version(request: HttpRequest, state: Data<ReplicaState>) -> HttpResponse {
    let Some(nonce) = signed_nonce(&request, &state) else { return HttpResponse::Unauthorized().finish() };
    let Ok(web::Query(query)) = web::Query::<VersionQuery>::from_query(request.query_string()) else {
        return HttpResponse::BadRequest().finish();
    };
    let wanted = State { history: query.history, version: query.at_least };
    let wait = deadlines::VERSION_WAIT.min(Duration::from_millis(query.wait_ms));
    let State { history, version } = state.follower.wait_for(&wanted, wait).await;
    let Ok(body) = serde_json::to_string(&ReplicaVersion { replica: state.replica, history, version }) else {
        return HttpResponse::InternalServerError().finish();
    };
    let signature = state.signing.sign(&response_text(&body, nonce));
    HttpResponse::Ok().insert_header((SIGNATURE, signature)).content_type("application/json").body(body)
}

#[derive(Deserialize)]
struct ContentQuery {
    of: String,
}

/// Responds with a manifest that this replica is fetching, or has received, for the same origin.
async fn manifest(request: HttpRequest, state: Data<ReplicaState>) -> HttpResponse {
    let Some(nonce) = signed_nonce(&request, &state) else { return HttpResponse::Unauthorized().finish() };
    let Some(wanted) = wanted::<ManifestOf>(&request) else { return HttpResponse::BadRequest().finish() };
    let Ok(Some(manifest)) = state.manifests.for_replica(&wanted).await else {
        return HttpResponse::NotFound().finish();
    };
    let (media_type, digest) = (manifest.media_type.clone(), manifest.digest.to_string());
    let signature = state.signing.sign(&response_text(&format!("{media_type}\n{digest}"), nonce));
    let mut response = HttpResponse::Ok();
    response.insert_header((SIGNATURE, signature)).insert_header((MEDIA_TYPE, media_type));
    response.insert_header((DIGEST, digest)).content_type("application/octet-stream").body(manifest.bytes.clone())
}

/// Responds with the bytes of a blob that this replica is receiving, or has received, for the same origin.
async fn blob(request: HttpRequest, state: Data<ReplicaState>) -> HttpResponse {
    let Some(nonce) = signed_nonce(&request, &state) else { return HttpResponse::Unauthorized().finish() };
    let Some(BlobOf { origin, digest, from }) = wanted(&request) else { return HttpResponse::BadRequest().finish() };
    if !state.downloads.has_received(&origin, &digest) {
        return HttpResponse::NotFound().finish();
    }
    let opened = match state.blobs.open_for_replica(origin, digest).await {
        Ok(Some(opened)) if from <= opened.length() => opened,
        Ok(_) | Err(_) => return HttpResponse::NotFound().finish(),
    };
    let length = opened.length();
    let stored = if opened.source() == CacheStatus::Hit { STORED } else { "arriving" };
    let signature = state.signing.sign(&response_text(&format!("{length}\n{stored}"), nonce));
    let mut response = HttpResponse::Ok();
    response.insert_header((SIGNATURE, signature)).insert_header((BLOB_LENGTH, length.to_string()));
    response.insert_header((BLOB_STATE, stored));
    let body = BlobBody::of(length - from, opened.chunks(from..length, Transfer::Copy));
    response.content_type("application/octet-stream").body(body)
}

/// Returns what a request wants.
fn wanted<T: DeserializeOwned>(request: &HttpRequest) -> Option<T> {
    let web::Query(ContentQuery { of }) = web::Query::from_query(request.query_string()).ok()?;
    serde_json::from_slice(&hex::decode(of).ok()?).ok()
}

/// Returns the nonce of a request that another replica has signed for this one, within the last two minutes or the
/// next.
fn signed_nonce<'a>(request: &'a HttpRequest, state: &ReplicaState) -> Option<&'a str> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (nonce, minute, signature) = (header(NONCE)?, header(MINUTE)?, header(SIGNATURE)?);
    let target = request.uri().path_and_query()?.as_str();
    if !state.signing.has_signed(&request_text(state.replica, minute, target, nonce), signature) {
        return None;
    }
    let minutes_apart = minute.parse::<u64>().ok()?.abs_diff(state.signing.minute());
    if minutes_apart > MAX_MINUTES {
        note_clock(request, minutes_apart);
        return None;
    }
    Some(nonce)
}

/// Logs that the clock of another replica differs from that of this one, at a limited rate.
fn note_clock(request: &HttpRequest, minutes_apart: u64) {
    static LINES: LineLimit<&'static str> = LineLimit::new();
    if let Some(left_out) = LINES.admit(&"clock") {
        let address = request.peer_addr().map(|address| address.ip().to_string());
        tracing::warn!(
            address,
            minutes_apart,
            left_out,
            "the clock of another replica is wrong, or that of this one: each change takes fleet.bound longer, and downloads are \
             not shared"
        );
    }
}
