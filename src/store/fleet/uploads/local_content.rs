//! Content of this machine that is to be uploaded.

use std::fs::File;
use std::sync::Arc;

use crate::domain::digest::Digest;
use crate::domain::manifest::{self, Named};
use crate::store::blobs::BlobFiles;
use crate::store::blocking::blocking;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::StoreError;

/// A blob, with its length in bytes, or a manifest, with what it names.
pub(super) enum LocalContent {
    Blob(File, u64),
    Manifest { bytes: bytes::Bytes, media_type: String, named: Vec<Digest> },
}

impl LocalContent {
    /// Opens content of this machine; `None` if it is gone.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, or is damaged.
    pub(super) async fn open(
        files: BlobFiles,
        content: Arc<EmbeddedContent>,
        digest: Digest,
    ) -> Result<Option<Self>, StoreError> {
        blocking(move || {
            if content.manifests().length(&digest)? > 0
                && let Some(manifest) = content.manifests().read(&digest)?
            {
                let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
                let Named { blobs, manifests } = named;
                let named = blobs.iter().chain(&manifests).map(|named| named.digest).collect();
                let (bytes, media_type) = (manifest.bytes, manifest.media_type);
                return Ok(Some(Self::Manifest { bytes, media_type, named }));
            }
            match File::open(files.path(&digest)) {
                Ok(file) => {
                    let length = file.metadata()?.len();
                    Ok(Some(Self::Blob(file, length)))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}
