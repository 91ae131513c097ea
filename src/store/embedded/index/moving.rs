//! Entries of the index that move to the index of a fleet. They are read from the small files, which are authoritative.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Index, image_files, index_file, link_files};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::error::StoreError;
use crate::store::images::ImageKey;
use crate::store::link::{Link, TagEntry};

/// An image of a group.
pub(in crate::store) struct ImageToMove {
    pub(in crate::store) key: ImageKey,
    /// The digest of the image, and when upstream has confirmed it.
    pub(in crate::store) entry: TagEntry,
    pub(in crate::store) last_pulled_at: Timestamp,
    /// Number of pulls.
    pub(in crate::store) pulls: u64,
    pub(in crate::store) pinned: bool,
    /// The digests that the tag stood for before.
    pub(in crate::store) earlier: Vec<Digest>,
}

impl Index {
    /// Returns the files with the links of a group; none if the group is to be purged.
    pub(in crate::store) fn files_of_links(&self, group: GroupId) -> Result<Vec<PathBuf>, StoreError> {
        if index_file::is_forgotten(&self.groups, group) {
            return Ok(Vec::new());
        }
        link_files::paths(&self.groups, group)?.collect()
    }

    /// Returns the granted links in a file.
    pub(in crate::store) fn granted_links(
        &self,
        group: GroupId,
        path: &Path,
    ) -> Result<Vec<(Origin, Digest, Link)>, StoreError> {
        let links = link_files::merged(link_files::read(path, group)?.links).into_iter();
        let granted = links.filter(|file| file.link.is_granted());
        Ok(granted.map(|file| (file.origin, file.digest, file.link)).collect())
    }

    /// Returns the images of a group; none if the group is to be purged.
    pub(in crate::store) fn images_to_move(&self, group: GroupId) -> Result<Vec<ImageToMove>, StoreError> {
        if index_file::is_forgotten(&self.groups, group) {
            return Ok(Vec::new());
        }
        let image = |file: Result<image_files::ImageFile, StoreError>| {
            let file = file?;
            let key = ImageKey { group, origin: file.origin.clone(), reference: file.reference() };
            // Only the database has the pulls.
            let record = self.image(&key);
            let checked_at = file.entry.checked_at;
            let last_pulled_at = record.map_or(checked_at, |record| record.last_pulled_at.max(checked_at));
            let pulls = record.map_or(0, |record| record.pulls);
            let earlier = file.earlier.iter().map(|earlier| earlier.digest).collect();
            Ok(ImageToMove { key, entry: file.entry, last_pulled_at, pulls, pinned: file.pinned, earlier })
        };
        image_files::all(&self.groups, group)?.map(image).collect()
    }
}
