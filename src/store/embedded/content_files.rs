//! The files of blobs and manifests, by name and length, for comparisons with what the index knows.

use std::collections::HashMap;

use crate::domain::digest::Digest;
use crate::store::usage::{FileKind, StoredFile};

/// The files of blobs and manifests that have the name of a digest, with their lengths in bytes.
#[derive(Debug, Default)]
pub struct Content {
    pub(super) blobs: HashMap<Digest, u64>,
    pub(super) manifests: HashMap<Digest, u64>,
}

impl Content {
    /// Returns the file of a digest. The same content can be stored as a blob and as a manifest.
    pub(super) fn file(&self, digest: &Digest, prefers_manifest: bool) -> Option<StoredFile> {
        let of = |kind, files: &HashMap<Digest, u64>| files.get(digest).map(|size| StoredFile { kind, size: *size });
        let (blob, manifest) = (of(FileKind::Blob, &self.blobs), of(FileKind::Manifest, &self.manifests));
        if prefers_manifest { manifest.or(blob) } else { blob.or(manifest) }
    }

    /// Returns all digests, each once, in no particular order.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.blobs.keys().chain(self.manifests.keys().filter(|digest| !self.blobs.contains_key(digest)))
    }
}
