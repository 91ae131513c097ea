//! The work beside the ManifestCache: asks upstream for one manifest, verifies it and stores it. Joins nothing and remembers
//! nothing.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Fetched, Question};
use crate::actors::failure::Cause;
use crate::actors::memory_budget::{CollectError, Collected, MemoryBudget};
use crate::actors::unstored::UnstoredReports;
use crate::actors::upstream_fetcher::Upstream;
use crate::domain::download::Unstored;
use crate::domain::id::GroupId;
use crate::domain::manifest::{self, ManifestError};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::manifests::{Manifest, ManifestStore};
use crate::upstream::{Content, ManifestHead, UpstreamError};

/// The work beside the actor.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) upstream: Upstream,
    pub(super) store: Arc<ManifestStore>,
    pub(super) memory: MemoryBudget,
    pub(super) unstored: Arc<UnstoredReports>,
    /// Longer manifests are passed on and not stored.
    pub(super) max_stored_bytes: u64,
}

/// No manifest is longer than this; more is an attack.
const MAX_BYTES: u64 = 16 << 20;

impl Fetcher {
    /// What a `HEAD` says of a manifest.
    pub(super) async fn head(&self, question: &Question) -> Result<ManifestHead, Cause> {
        self.upstream
            .head_manifest(&question.origin, &question.reference)
            .await
            .map_err(|error| cause(question, &error.into()))
    }

    /// A manifest whose digest is verified and that a client could use, within this group's share of memory.
    pub(super) async fn fetch(&self, question: &Question, group: GroupId) -> Result<Fetched, Cause> {
        let content = self.upstream.manifest(&question.origin, &question.reference).await;
        let content = content.map_err(|error| cause(question, &error.into()))?;
        let (claimed_type, claimed) = (content.head.media_type.clone(), content.head.digest);
        let collected = collect(&self.memory, group, content).await;
        let (bytes, lease) = collected.map_err(|error| cause(question, &error))?;
        let mut manifest = Manifest::new(claimed_type.clone().unwrap_or_default(), bytes);
        let asked = match question.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => claimed,
        };
        if asked.is_some_and(|asked| asked != manifest.digest) {
            let error = UpstreamError::InvalidResponse { what: "the digest does not hold" };
            return Err(cause(question, &error.into()));
        }
        let (media_type, named) = manifest::identify(claimed_type.as_deref(), &manifest.bytes)
            .map_err(|error| unusable(question, &error, asked.is_some()))?;
        manifest.media_type = media_type;
        let manifest = Arc::new(manifest);
        let stored = self.keep(manifest.clone(), &question.origin).await;
        Ok(Fetched { manifest, named: Arc::new(named), stored, _lease: lease })
    }

    /// Stores a manifest, if it is not too long. A store that fails does not keep anybody from pulling.
    async fn keep(&self, manifest: Arc<Manifest>, image: &Origin) -> bool {
        if manifest.bytes.len() as u64 > self.max_stored_bytes {
            self.unstored.report(Unstored::TooLong, Some(image));
            return false;
        }
        let store = self.store.clone();
        match spawn_blocking(move || store.put(&manifest)).await {
            Ok(Ok(())) => true,
            Ok(Err(StoreError::Full)) => {
                self.unstored.report(Unstored::NoRoom, Some(image));
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a manifest could not be stored");
                self.unstored.report(Unstored::StoreFailed, Some(image));
                false
            }
            Err(panic) => {
                tracing::error!(%panic, "storing a manifest failed");
                false
            }
        }
    }
}

/// The whole body, which has to be as long as was announced.
async fn collect(memory: &MemoryBudget, group: GroupId, content: Content) -> Result<Collected, CollectError> {
    let announced = content.head.length;
    let collected = memory.collect(group, content, MAX_BYTES).await?;
    if announced.is_some_and(|length| length != collected.0.len() as u64) {
        return Err(UpstreamError::InvalidResponse { what: "another length than announced" }.into());
    }
    Ok(collected)
}

fn cause(question: &Question, error: &CollectError) -> Cause {
    let (origin, reference) = (&question.origin, &question.reference);
    match error {
        CollectError::Upstream(UpstreamError::NotFound) => {}
        CollectError::Upstream(error) => tracing::warn!(%origin, %reference, %error, "a request to upstream failed"),
        CollectError::NoMemory(error) => tracing::warn!(%origin, %reference, %error, "a manifest was not fetched"),
    }
    Cause::from(error)
}

/// What bytes that are no manifest mean: with the digest that upstream names they are what it has, and stay so.
fn unusable(question: &Question, error: &ManifestError, digest_holds: bool) -> Cause {
    let (origin, reference) = (&question.origin, &question.reference);
    tracing::warn!(%origin, %reference, %error, "upstream has something else than a manifest");
    if matches!(error, ManifestError::MediaType(_)) && !digest_holds {
        return Cause::InvalidResponse { what: "no manifest".to_owned() };
    }
    Cause::Unusable { problem: format!("in a form that cannot be used: {error}") }
}
