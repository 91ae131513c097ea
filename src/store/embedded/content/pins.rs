//! Content of pinned images, which is not evicted, and its size.

use std::collections::{HashMap, HashSet};

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::store::error::StoreError;

impl EmbeddedContent {
    /// Returns the number of bytes of all pinned images and this one, each content once; see
    /// [`ContentStore::pinned_bytes_with`](crate::store::content::ContentStore::pinned_bytes_with).
    pub(in crate::store) fn pinned_bytes_with(&self, image: &Digest) -> Result<u64, StoreError> {
        // The lengths that a manifest claims are foreign: a registry that moves a pinned tag to a manifest with an
        // absurd length would otherwise have the pins of all groups refused, for content that nobody has stored. So a
        // claim counts against the image that claims it, when it is pinned. What pinned images lack takes no space; it
        // counts, with its true length, once it is stored.
        let mut lengths: HashMap<Digest, u64> = self.pinned()?.into_iter().map(|digest| (digest, 0)).collect();
        lengths.extend(self.with_names(*image).into_iter().map(|digest| (digest, 0)));
        for blob in [self.named(image)?.blobs, self.blobs_of_index(image)?].concat() {
            lengths.insert(blob.digest, blob.size.unwrap_or_default());
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
