//! Manifests and indexes, byte for byte as upstream sent them (OCI distribution specification, "Pulling
//! manifests").

use std::sync::LazyLock;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{AGE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::super::long_body;
use super::authorized::Authorized;
use super::body::BlobBody;
use super::error::RegistryError;
use super::state::RegistryState;
use super::{API_VERSION, X_CACHE, name_content};
use crate::actors::cache_status::CacheStatus;
use crate::actors::manifest_cache::{PullManifest, Pulled, PulledManifest};
use crate::actors::pull_failure::{PullFailure, image_name};
use crate::auth::secret::redacted;
use crate::domain::image_path::Target;
use crate::domain::reference::Reference;
use crate::telemetry::{CountersBy, served_bytes};

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

/// Responds to `GET` and `HEAD` of a manifest, and writes the one log line of a pull.
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
    let tag_freshness = state.upstreams.load().tag_freshness(&origin.upstream);
    let wanted =
        PullManifest { group: authorized.group().id, origin, reference: reference.clone(), head, tag_freshness };
    let pulled = state.manifests.pull(wanted).await;
    log(request, state, authorized, reference, &pulled, started);
    let upstream_error = stale_because(authorized, reference, &pulled);
    let target = || Target::Manifest(reference.clone());
    let pulled =
        pulled.outcome.map_err(|failure| RegistryError::Failed { failure: Box::new(failure), target: target() })?;
    Ok(respond(pulled, head, upstream_error))
}

/// Returns the reason why a stale manifest could not be revalidated, and logs it with the id of the request.
fn stale_because(authorized: &Authorized, reference: &Reference, pulled: &Pulled) -> Option<String> {
    let cause = pulled.outcome.as_ref().ok()?.stale_because.as_deref()?;
    let (origin, details) = (authorized.origin().clone(), cause.details());
    let image = image_name(&origin, &reference.to_string());
    let reason = PullFailure { origin, image: image.clone(), cause: cause.clone() }.reason();
    tracing::warn!(image, reason, details, "a tag is served stale");
    Some(reason)
}

fn respond(pulled: PulledManifest, head: bool, upstream_error: Option<String>) -> HttpResponse {
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
            long_body::respond(response, manifest.into_bytes())
        }
        _ => BlobBody::respond_to_head(response, pulled.size),
    }
}

/// Returns the reference as it is logged. If nothing was found for it, it may be anything that fits a tag, even a
/// secret.
fn loggable(reference: &Reference, pulled: Option<&PulledManifest>) -> String {
    let text = reference.to_string();
    if pulled.is_some() { text } else { redacted(&text).into_owned() }
}

/// Returns the cache status for the log and the metrics. A manifest from the cache is no hit while blobs of its image
/// pass through without being stored: the pull needs upstream nevertheless.
fn cache_word(state: &RegistryState, authorized: &Authorized, pulled: &PulledManifest) -> &'static str {
    let passes_through = || state.blobs.passes_through(authorized.origin(), || pulled.blobs());
    if pulled.source.is_from_cache() && passes_through() { PASSED_THROUGH } else { pulled.source.word() }
}

fn log(
    request: &HttpRequest,
    state: &RegistryState,
    authorized: &Authorized,
    reference: &Reference,
    pulled: &Pulled,
    started: Instant,
) {
    let upstream_calls = pulled.upstream_calls;
    let cache = pulled.outcome.as_ref().map_or("failed", |pulled| cache_word(state, authorized, pulled));
    PULLS.count(cache);
    let (identity, pulled) = (authorized.identity(), pulled.outcome.as_ref().ok());
    tracing::info!(
        method = request.method().as_str(),
        principal = identity.principal(),
        principal_name = identity.principal_name(),
        credential = identity.credential().map(tracing::field::display),
        credential_name = identity.credential_name(),
        token = identity.token().map(|token| token.0),
        address = %state.public_url.client(request),
        group = authorized.group().path.as_str(),
        image = %authorized.origin(),
        reference = &*loggable(reference, pulled),
        digest = pulled.map(|pulled| tracing::field::display(pulled.digest)),
        cache,
        upstream_calls,
        bytes = pulled.map(|pulled| pulled.size),
        ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "manifest"
    );
}
