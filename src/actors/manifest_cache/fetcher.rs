//! The work beside the ManifestCache: asks upstream for one manifest, verifies it and stores it. Joins nothing and remembers
//! nothing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::task::spawn_blocking;

use super::{Fetched, Question};
use crate::actors::failure::Cause;
use crate::actors::upstream_fetcher::Upstream;
use crate::domain::manifest;
use crate::domain::reference::Reference;
use crate::store::manifests::{Manifest, ManifestStore};
use crate::upstream::{Content, ContentHead, UpstreamError};

/// The work beside the actor.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) upstream: Upstream,
    pub(super) store: Arc<ManifestStore>,
    /// Longer manifests are passed on and not stored.
    pub(super) max_stored_bytes: u64,
}

/// No manifest is longer than this; more is an attack.
const MAX_BYTES: usize = 16 << 20;

impl Fetcher {
    /// What upstream says about a manifest.
    pub(super) async fn head(&self, question: &Question) -> Result<ContentHead, Cause> {
        self.upstream
            .head_manifest(&question.origin, &question.reference)
            .await
            .map_err(|error| cause(question, &error))
    }

    /// A manifest whose digest is verified and that a client could use.
    pub(super) async fn fetch(&self, question: &Question) -> Result<Fetched, Cause> {
        let content = self.upstream.manifest(&question.origin, &question.reference).await;
        let content = content.map_err(|error| cause(question, &error))?;
        let media_type = content.head.media_type.clone().ok_or(Cause::Nonsense)?;
        let claimed = content.head.digest;
        let bytes = collect(content).await.map_err(|error| cause(question, &error))?;
        let manifest = Manifest::new(media_type, bytes);
        let asked = match question.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => claimed,
        };
        if asked.is_some_and(|asked| asked != manifest.digest) {
            tracing::warn!(origin = %question.origin, "upstream sent a manifest that does not have its digest");
            return Err(Cause::Nonsense);
        }
        let named = manifest::parse(&manifest.media_type, &manifest.bytes).map_err(|error| {
            tracing::warn!(origin = %question.origin, %error, "upstream sent something else than a manifest");
            Cause::Nonsense
        })?;
        let manifest = Arc::new(manifest);
        let stored = self.keep(manifest.clone()).await;
        Ok(Fetched { manifest, named: Arc::new(named), stored })
    }

    /// Stores a manifest, if it is not too long. A store that fails does not keep anybody from pulling.
    async fn keep(&self, manifest: Arc<Manifest>) -> bool {
        if manifest.bytes.len() as u64 > self.max_stored_bytes {
            return false;
        }
        let store = self.store.clone();
        match spawn_blocking(move || store.put(&manifest)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a manifest could not be stored");
                false
            }
            Err(panic) => {
                tracing::error!(%panic, "storing a manifest failed");
                false
            }
        }
    }
}

async fn collect(mut content: Content) -> Result<Bytes, UpstreamError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = content.stream.next().await {
        let chunk = chunk?;
        metrics::counter!("dependency_proxy_fetched_bytes_total").increment(chunk.len() as u64);
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            return Err(UpstreamError::TooLong);
        }
    }
    if content.head.length.is_some_and(|length| length != bytes.len() as u64) {
        return Err(UpstreamError::Nonsense { what: "another length than announced" });
    }
    Ok(bytes.freeze())
}

fn cause(question: &Question, error: &UpstreamError) -> Cause {
    if !matches!(error, UpstreamError::NotFound) {
        tracing::warn!(origin = %question.origin, reference = %question.reference, %error, "asking upstream failed");
    }
    Cause::from(error)
}
