//! Names in stored manifests, from their summaries in the index. A summary that is missing is made from the manifest.

use std::collections::HashSet;
use std::fs;

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Descriptor, Named};
use crate::domain::platform;
use crate::store::blobs::BlobFiles;
use crate::store::embedded::index::Summary;
use crate::store::error::StoreError;
use crate::store::manifests::Manifest;

/// Maximum length of a manifest whose names are read, in bytes.
pub(in crate::store::embedded) const MAX_EXAMINED_BYTES: u64 = 1 << 20;

/// Maximum number of contents that count as named by one manifest or index. Far more than any real image has.
pub(super) const MAX_NAMES_OF_ONE: usize = 4_096;

/// Maximum number of manifests of one index that are taken over from other replicas before they are pulled.
const MAX_CHILDREN: usize = 64;

/// Maximum length of the configuration of an image that is read for its platform, in bytes.
const MAX_CONFIGURATION_BYTES: u64 = 1 << 20;

impl EmbeddedContent {
    /// Records what a manifest names, unless that is recorded.
    pub(super) fn summarize(&self, manifest: &Manifest) {
        if manifest.bytes.len() as u64 <= MAX_EXAMINED_BYTES && self.index().summary(&manifest.digest).is_none() {
            self.index().put_summary(&manifest.digest, &summary_of(manifest));
        }
    }

    /// Returns what a manifest names; `None` for a blob, and for a manifest that is not stored or cannot be read.
    pub(super) fn summary(&self, digest: &Digest) -> Option<Summary> {
        if let Some(known) = self.index().summary(digest) {
            return Some(known);
        }
        let length = self.manifests().length(digest).unwrap_or_default();
        if !(1..=MAX_EXAMINED_BYTES).contains(&length) {
            return None;
        }
        let summary = summary_of(&self.manifests().read(digest).ok().flatten()?);
        self.index().put_summary(digest, &summary);
        Some(summary)
    }

    /// Returns what this manifest names: of an index also what its manifests name, as far as they are stored. Nothing
    /// for a blob, and for a manifest that cannot be read.
    pub(super) fn names(&self, digest: &Digest) -> HashSet<Digest> {
        let mut names = HashSet::new();
        let Some(summary) = self.summary(digest) else { return names };
        let add = |names: &mut HashSet<Digest>, more: Vec<Digest>| {
            let left = MAX_NAMES_OF_ONE.saturating_sub(names.len());
            names.extend(more.into_iter().take(left));
        };
        let children: HashSet<Digest> = summary.manifests.into_iter().map(|(child, _)| child).collect();
        add(&mut names, summary.blobs);
        add(&mut names, children.iter().copied().collect());
        for child in children {
            if names.len() >= MAX_NAMES_OF_ONE {
                break;
            }
            add(&mut names, self.summary(&child).unwrap_or_default().blobs);
        }
        names
    }

    /// Returns the blobs of the stored manifests of an index; see
    /// [`ContentStore::blobs_of_index`](crate::store::content::ContentStore::blobs_of_index).
    pub(in crate::store) fn blobs_of_index(&self, index: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let children: HashSet<Digest> = self.named(index)?.manifests.into_iter().map(|child| child.digest).collect();
        let mut blobs = Vec::new();
        for child in children {
            blobs.extend(self.named(&child)?.blobs);
            blobs.truncate(MAX_NAMES_OF_ONE);
        }
        Ok(blobs)
    }

    /// Returns what a manifest names, with the lengths that it claims; nothing for a blob, and for a manifest that is
    /// not stored or cannot be read.
    pub(super) fn named(&self, digest: &Digest) -> Result<Named, StoreError> {
        if !(1..=MAX_EXAMINED_BYTES).contains(&self.manifests().length(digest)?) {
            return Ok(Named::default());
        }
        let manifest = self.manifests().read(digest)?;
        let named = manifest.and_then(|manifest| manifest::parse(&manifest.media_type, &manifest.bytes).ok());
        Ok(named.unwrap_or_default())
    }

    /// Returns the manifests that a stored index names.
    pub(in crate::store) fn children(&self, index: &Digest) -> Result<Vec<Digest>, StoreError> {
        Ok(self.named(index)?.manifests.into_iter().take(MAX_CHILDREN).map(|child| child.digest).collect())
    }

    /// Returns this content and what it names.
    pub(super) fn with_names(&self, digest: Digest) -> HashSet<Digest> {
        let mut content = self.names(&digest);
        content.insert(digest);
        content
    }

    /// Reads the platform of an image from its configuration, if it is not known and the configuration is stored.
    pub(super) fn find_platform(&self, digest: &Digest, blobs: &BlobFiles) {
        let Some(summary) = self.summary(digest).filter(|summary| summary.platform.is_none()) else { return };
        let Some(configuration) = summary.blobs.first().filter(|_| summary.manifests.is_empty()) else { return };
        if let Some(bytes) = configuration_bytes(configuration, blobs)
            && let Some(platform) = platform::of_configuration(&bytes)
        {
            self.index().put_summary(digest, &Summary { platform: Some(platform), ..summary });
        }
    }
}

/// Returns a stored configuration; `None` if it is not stored, or longer than [`MAX_CONFIGURATION_BYTES`].
pub(super) fn configuration_bytes(configuration: &Digest, blobs: &BlobFiles) -> Option<Vec<u8>> {
    let path = blobs.path(configuration);
    let is_short = fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_CONFIGURATION_BYTES);
    if is_short { fs::read(&path).ok() } else { None }
}

/// Returns the summary of a manifest.
pub(in crate::store::embedded) fn summary_of(manifest: &Manifest) -> Summary {
    let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
    Summary::of(&named, &manifest.bytes, MAX_NAMES_OF_ONE)
}
