//! Manifests and indexes, byte for byte as upstream sent them (OCI distribution specification, "Pulling
//! manifests").

use std::sync::LazyLock;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{AGE, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::super::long_body;
use super::authorized::Authorized;
use super::body::BlobBody;
use super::error::RegistryError;
use super::state::RegistryState;
use super::{API_VERSION, X_CACHE, name_content};
use crate::actors::cache_status::CacheStatus;
use crate::actors::manifest_cache::{PullManifest, Pulled, PulledManifest};
use crate::actors::pull_failure::{PullFailure, image_name};
use crate::actors::pull_records::ImagePull;
use crate::actors::traffic::{GroupTraffic, ServedBytes};
use crate::domain::image_path::Target;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::http::refusals::FailedPull;
use crate::telemetry::{CountersBy, LineLimit, served_bytes};

/// Header with the reason why a stale manifest could not be revalidated. For people, and for the command `check`.
const UPSTREAM_ERROR: HeaderName = HeaderName::from_static("x-upstream-error");

/// Cache status of a manifest from the cache if blobs of its image are not stored.
const PASSED_THROUGH: &str = "passed_through";

static PULLS: LazyLock<CountersBy> = LazyLock::new(|| {
    CountersBy::new(
        &[&CacheStatus::LABELS[..], &[PASSED_THROUGH]].concat(),
        |word| metrics::counter!("dependency_proxy_manifest_pulls_total", "cache" => word),
    )
});

/// Responds to `GET` and `HEAD` of a manifest, and writes the one log line of a pull that succeeds. One that fails has
/// the line of its refusal.
///
/// # Errors
/// The manifest is neither in the cache nor to be had from upstream.
pub(super) async fn pull(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    reference: &Reference,
) -> Result<HttpResponse, RegistryError> {
    let started = Instant::now();
    let head = request.method() == Method::HEAD;
    let origin = authorized.origin().clone();
    let freshness = authorized.freshness();
    let group = authorized.group().id;
    let wanted =
        PullManifest { group, origin, reference: reference.clone(), head, noted: true, freshness, on_demand: false };
    let Pulled { outcome, upstream_calls, from_memory } = state.manifests.pull(wanted).await;
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(pulled) => {
            if !from_memory && pulled.source.is_from_cache() {
                state.blobs.look_for_unstored(authorized.origin(), pulled.digest, pulled.blobs()).await;
            }
            note_read(request, state, authorized, reference, &pulled);
            let traffic = state.traffic.of(group);
            log(request, state, authorized, reference, &pulled, (upstream_calls, ms), &traffic);
            let upstream_error = stale_because(authorized, reference, &pulled);
            let served = traffic.served(pulled.source);
            Ok(respond(pulled, head, upstream_error, &served))
        }
        Err(failure) => {
            PULLS.count("failed");
            // The line of the refusal is the only one of this request, so that a limit on these limits all.
            request.extensions_mut().insert(FailedPull { upstream_calls, ms });
            Err(RegistryError::failed(failure, Target::Manifest(reference.clone()), authorized.reader()))
        }
    }
}

/// Records the read of a manifest, and the pull that it is.
fn note_read(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    reference: &Reference,
    pulled: &PulledManifest,
) {
    let now = Timestamp::now();
    state.reads.note(&pulled.digest, now);
    let pull = ImagePull {
        group: authorized.group().id,
        origin: authorized.origin(),
        reference,
        identity: authorized.identity(),
        address: state.public_url.client(request),
    };
    state.pulls.note(&pull, now);
}

/// Returns the reason why a stale manifest could not be revalidated, and logs it with the id of the request.
fn stale_because(authorized: &Authorized, reference: &Reference, pulled: &PulledManifest) -> Option<String> {
    static LINES: LineLimit<Origin> = LineLimit::new();
    let cause = pulled.stale_because.as_deref()?;
    let (origin, details) = (authorized.origin(), cause.details());
    let failure = PullFailure {
        origin: origin.clone(),
        image: image_name(origin, &reference.to_string()),
        cause: cause.clone(),
        is_list: false,
    };
    let reason = failure.reason();
    if let Some(left_out) = LINES.admit(origin) {
        let group = authorized.group().path.as_str();
        tracing::warn!(group, image = %origin, %reference, reason, details, left_out, "a tag is served stale");
    }
    Some(failure.reason_for(authorized.reader()))
}

fn respond(pulled: PulledManifest, head: bool, upstream_error: Option<String>, served: &ServedBytes) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    name_content(&mut response, &pulled.digest)
        .insert_header(API_VERSION)
        .insert_header((X_CACHE, HeaderValue::from_static(pulled.source.word())))
        .content_type(pulled.media_type);
    if let Some(value) = upstream_error.and_then(|reason| HeaderValue::try_from(reason).ok()) {
        response.insert_header((UPSTREAM_ERROR, value));
    }
    if let Some(age) = pulled.age {
        response.insert_header((AGE, age.as_secs()));
    }
    match pulled.manifest {
        Some(manifest) if !head => {
            served_bytes().increment(pulled.size);
            served.add(pulled.size);
            long_body::respond(response, manifest.into_bytes())
        }
        _ => BlobBody::respond_to_head(response, pulled.size),
    }
}

/// Returns the cache status for the log and the metrics. A manifest from the cache is no hit while blobs of its image
/// pass through without being stored: the pull needs upstream nevertheless.
fn cache_word(state: &RegistryState, authorized: &Authorized, pulled: &PulledManifest) -> &'static str {
    let digests = || pulled.blobs().into_iter().map(|blob| blob.digest).collect();
    let passes_through = || state.blobs.passes_through(authorized.origin(), digests);
    if pulled.source.is_from_cache() && passes_through() { PASSED_THROUGH } else { pulled.source.word() }
}

/// Writes the line of a pull, and counts it. `spent` is the number of upstream requests and the time in milliseconds.
fn log(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    reference: &Reference,
    pulled: &PulledManifest,
    (upstream_calls, ms): (u32, u64),
    traffic: &GroupTraffic,
) {
    let (identity, cache) = (authorized.identity(), cache_word(state, authorized, pulled));
    PULLS.count(cache);
    traffic.pulled(pulled.source, cache == PASSED_THROUGH, request.method() == Method::GET);
    tracing::info!(
        method = request.method().as_str(),
        principal = %identity.principal(),
        principal_name = identity.principal_name(),
        credential = identity.credential().map(tracing::field::display),
        credential_name = identity.credential_name(),
        token = identity.token().map(|token| token.0),
        address = %state.public_url.client(request),
        group = authorized.group().path.as_str(),
        image = %authorized.origin(),
        %reference,
        digest = %pulled.digest,
        cache,
        upstream_calls,
        bytes = pulled.size,
        ms,
        "manifest"
    );
}
