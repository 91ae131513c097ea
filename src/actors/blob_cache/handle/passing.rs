//! Images with blobs that are not stored, so that each pull gets these from upstream.

use super::BlobCacheHandle;
use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::manifest::Descriptor;
use crate::domain::origin::Origin;
use crate::store::blobs::BlobFiles;
use crate::store::blocking::blocking;
use crate::store::error::StoreError;

impl BlobCacheHandle {
    /// Returns true if one of these blobs of an image was not stored when it was last pulled. Without any blobs, as for
    /// an index, all blobs of the repository count. `blobs` is called only if some blob of the image is not stored.
    pub fn passes_through(&self, image: &Origin, blobs: impl FnOnce() -> Vec<Digest>) -> bool {
        self.shared.unstored.concerns(image, blobs)
    }

    /// Finds those of these blobs of an image that could not be stored if they were pulled now, and records them for
    /// [`Self::passes_through`], which otherwise knows only what was pulled since the start. Of an index, which has no
    /// blobs itself, it examines those of its stored manifests.
    pub async fn look_for_unstored(&self, image: &Origin, manifest: Digest, blobs: Vec<Descriptor>) {
        let blobs = if blobs.is_empty() {
            self.shared.content.blobs_of_index(manifest).await.unwrap_or_default()
        } else {
            blobs
        };
        if blobs.is_empty() {
            return;
        }
        let (files, max) = (self.shared.files.clone(), self.shared.options.max_blob_bytes);
        // A failure of the disk is reported by the request for the blob.
        let Ok((long, large)) = blocking(move || missing(&files, &blobs, max)).await else { return };
        self.shared.unstored.expect(Unstored::TooLong, image, &long);
        self.shared.unstored.expect(Unstored::NoSpace, image, &large);
    }
}

/// Returns those of the blobs that have no file and cannot get one: first those that are longer than `max` bytes, then
/// those for which the disk has too little space.
fn missing(
    files: &BlobFiles,
    blobs: &[Descriptor],
    max: Option<u64>,
) -> Result<(Vec<Digest>, Vec<Digest>), StoreError> {
    // Stored content can be evicted for it.
    let left = files.room_for_one()?;
    let without_file = |fits: &dyn Fn(u64) -> bool| {
        let unfit = blobs.iter().filter(|blob| !fits(blob.size.unwrap_or(1).max(1)));
        unfit.map(|blob| blob.digest).filter(|digest| !files.path(digest).exists()).collect()
    };
    Ok((without_file(&|size| max.is_none_or(|max| size <= max)), without_file(&|size| size <= left)))
}
