//! The work of the ManifestCache, outside the actor: requests one manifest from upstream, verifies it and stores
//! it. Keeps no state and coalesces no requests.

use std::sync::Arc;

use super::request::ManifestKey;
use super::response::Fetched;
use crate::actors::memory_budget::{CollectError, Collected, MemoryBudget};
use crate::actors::pull_failure::Cause;
use crate::actors::unstored_reports::UnstoredReports;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::manifest::{self, ManifestError};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::manifests::Manifest;
use crate::telemetry::LineLimit;
use crate::upstream::{Content, ManifestHead, UpstreamError};

/// Requests, verifies and stores manifests.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) upstream: UpstreamHandle,
    pub(super) store: ContentStore,
    pub(super) memory: MemoryBudget,
    pub(super) unstored: Arc<UnstoredReports>,
    /// Maximum length of a stored manifest in bytes; longer ones are passed on without being stored.
    pub(super) max_stored_bytes: u64,
}

/// Maximum length of a manifest in bytes. No real manifest is as long; a longer body is treated as an attack.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

impl Fetcher {
    /// Sends a `HEAD` for a manifest.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send a usable response.
    pub(super) async fn head(&self, key: &ManifestKey) -> Result<ManifestHead, Cause> {
        self.upstream.head_manifest(&key.origin, &key.reference).await.map_err(|error| cause(key, &error.into()))
    }

    /// Fetches a manifest within this group's share of memory, verifies its digest, and stores it (OCI distribution
    /// specification, "Pulling manifests").
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send a manifest with the expected digest, or if there is no memory.
    pub(super) async fn fetch(&self, key: &ManifestKey, group: GroupId) -> Result<Fetched, Cause> {
        let content = self.upstream.manifest(&key.origin, &key.reference).await;
        let content = content.map_err(|error| cause(key, &error.into()))?;
        let (claimed_type, claimed) = (content.head.media_type.clone(), content.head.digest);
        let collected = collect(&self.memory, group, content).await;
        let (bytes, lease) = collected.map_err(|error| cause(key, &error))?;
        let mut manifest = Manifest::new(claimed_type.clone().unwrap_or_default(), bytes);
        let expected = match key.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => claimed,
        };
        if expected.is_some_and(|expected| expected != manifest.digest) {
            let error = UpstreamError::InvalidResponse { what: "the digest does not hold" };
            return Err(cause(key, &error.into()));
        }
        let (media_type, named) = manifest::identify(claimed_type.as_deref(), &manifest.bytes)
            .map_err(|error| unusable(key, &error, expected.is_some()))?;
        manifest.media_type = media_type;
        let manifest = Arc::new(manifest);
        let stored = self.store(manifest.clone(), &key.origin).await;
        Ok(Fetched { manifest, named: Arc::new(named), stored, _lease: lease })
    }

    /// Stores a manifest, unless it is too long. Returns true if it was stored. A failure of the store is reported,
    /// but does not fail the pull.
    async fn store(&self, manifest: Arc<Manifest>, image: &Origin) -> bool {
        let digest = manifest.digest;
        if manifest.bytes.len() as u64 > self.max_stored_bytes {
            self.unstored.report(Unstored::TooLong, Some((image, &digest)));
            return false;
        }
        match self.store.put_manifest(manifest).await {
            Ok(()) => true,
            Err(StoreError::Full) => {
                self.unstored.report(Unstored::NoSpace, Some((image, &digest)));
                false
            }
            Err(error @ (StoreError::Io(_) | StoreError::Damaged(_))) => {
                static LINES: LineLimit<Origin> = LineLimit::new();
                if let Some(left_out) = LINES.admit(image) {
                    tracing::warn!(%image, %digest, %error, left_out, "a manifest could not be stored");
                }
                self.unstored.report(Unstored::StoreFailed, Some((image, &digest)));
                false
            }
        }
    }
}

/// Collects the whole body, whose length must be the announced one.
async fn collect(memory: &MemoryBudget, group: GroupId, content: Content) -> Result<Collected, CollectError> {
    let announced = content.head.length;
    let collected = memory.collect(group, content, MAX_MANIFEST_BYTES).await?;
    if announced.is_some_and(|length| length != collected.0.len() as u64) {
        return Err(UpstreamError::InvalidResponse { what: "another length than announced" }.into());
    }
    Ok(collected)
}

/// Returns the cause of a failure. Whoever waits for the manifest reports it: in the line of a refusal, or in that of a
/// tag that is served stale.
fn cause(key: &ManifestKey, error: &CollectError) -> Cause {
    let (image, reference) = (&key.origin, &key.reference);
    match error {
        CollectError::Upstream(error) => tracing::debug!(%image, %reference, %error, "a request to upstream failed"),
        CollectError::NoMemory(error) => tracing::debug!(%image, %reference, %error, "a manifest was not fetched"),
    }
    Cause::from(error)
}

/// Logs that the content is no manifest, which the cause does not say in detail, and returns the cause. If its digest
/// is the expected one, it is what upstream has, and a later request gets the same. Otherwise, with a media type that
/// no manifest has, it may be an error page of a gateway.
fn unusable(key: &ManifestKey, error: &ManifestError, digest_holds: bool) -> Cause {
    static LINES: LineLimit<Origin> = LineLimit::new();
    let (image, reference) = (&key.origin, &key.reference);
    if let Some(left_out) = LINES.admit(image) {
        tracing::warn!(%image, %reference, %error, left_out, "upstream has something else than a manifest");
    }
    if matches!(error, ManifestError::MediaType(_)) && !digest_holds {
        return Cause::InvalidResponse { what: "no manifest".to_owned() };
    }
    Cause::Unusable { problem: format!("in a form that cannot be used: {error}") }
}
