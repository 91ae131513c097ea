//! Content of pinned images, which is not evicted, and its size.

use std::collections::{HashMap, HashSet};

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::store::error::StoreError;

impl EmbeddedContent {
    /// Returns the number of bytes of all pinned images and this one, each content once; see
    /// [`ContentStore::pinned_bytes_with`](crate::store::content::ContentStore::pinned_bytes_with).
    pub(in crate::store) fn pinned_bytes_with(&self, image: &Digest) -> Result<u64, StoreError> {
        let pinned = self.index().pinned_images()?.into_iter().map(|(_, digest)| digest);
        let images: HashSet<Digest> = pinned.chain([*image]).collect();
        let mut lengths = HashMap::new();
        for image in &images {
            lengths.extend(self.with_names(*image).into_iter().map(|digest| (digest, 0)));
        }
        for image in &images {
            for blob in [self.named(image)?.blobs, self.blobs_of_index(image)?].concat() {
                lengths.insert(blob.digest, blob.size.unwrap_or_default());
            }
        }
        let length = |(digest, claimed)| self.index().stored_file(&digest).map_or(claimed, |file| file.size);
        Ok(lengths.into_iter().map(length).fold(0, u64::saturating_add))
    }

    /// Returns what all pinned images are and name.
    pub(super) fn pinned(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut pinned = HashSet::new();
        for (_, digest) in self.index().pinned_images()? {
            pinned.extend(self.with_names(digest));
        }
        Ok(pinned)
    }
}
