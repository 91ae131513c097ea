//! Descriptions of manifests: small files with the media type and size of a manifest. One is used only if it agrees
//! with the bytes of the manifest.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::store::atomic_file;
use crate::store::damage::{self, Kind};
use crate::store::error::StoreError;

/// End of the name of a description, after the digest of its manifest.
pub(super) const DESCRIPTION_SUFFIX: &str = ".json";

#[derive(Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) media_type: String,
    pub(super) size: u64,
}

/// Returns the media type of a manifest whose bytes were verified: from the description if the document agrees with
/// it, else from the document, and the description is rewritten. `None` if neither states one.
pub(super) fn media_type(bytes: &[u8], description: &Path, digest: &Digest) -> Result<Option<String>, StoreError> {
    let text = damage::readable_content(Kind::Description, description, digest, fs::read(description))?;
    let size = bytes.len() as u64;
    if let Some(media_type) = described_type(bytes, text.as_deref()) {
        return Ok(Some(media_type));
    }
    let identified = manifest::identify(None, bytes).ok().map(|(media_type, _)| media_type);
    if text.is_some() {
        let remedy = if identified.is_some() { "it is rewritten" } else { "its manifest is fetched again" };
        damage::found(Kind::Description, description, digest, remedy);
    }
    if let Some(media_type) = identified.clone() {
        let text = serde_json::to_vec(&Description { media_type, size })?;
        // On a full disk the document is identified again the next time.
        if let Err(error) = atomic_file::write_small(description, &text) {
            tracing::debug!(%digest, %error, "a description could not be rewritten");
        }
    }
    Ok(identified)
}

/// Returns the media type in a description; `None` if the description is missing or damaged, or does not agree with the
/// bytes of the manifest.
pub(in crate::store) fn described_type(bytes: &[u8], description: Option<&[u8]>) -> Option<String> {
    let described = serde_json::from_slice::<Description>(description?).ok()?;
    let agrees = described.size == bytes.len() as u64 && manifest::identify(Some(&described.media_type), bytes).is_ok();
    agrees.then_some(described.media_type)
}
