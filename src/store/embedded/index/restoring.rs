//! Damaged files of images that are written again from the database, so that no pin is lost. What a tag stood for
//! earlier is only in the file, and is lost.

use std::path::Path;

use super::trust::Trust;
use super::{ImageFile, ImageRecord, Index, StoreError, image_files, key, read};
use crate::domain::id::GroupId;
use crate::domain::reference::{Reference, Tag};
use crate::store::images::ImageKey;
use crate::store::link::TagEntry;

impl Index {
    /// Returns the content of this file of an image by its record in the database; `None` if there is no such record.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be read.
    pub(in crate::store::embedded) fn image_with_file(
        &self,
        group: GroupId,
        path: &Path,
    ) -> Result<Option<ImageFile>, StoreError> {
        for entry in self.images.scan_prefix(key::images_of_group(group)) {
            let (key, record) = entry?;
            let record = ImageRecord::read(Some(record));
            let Some((image, record)) = key::image_of(&key).zip(record) else { continue };
            if image_files::file_of(&self.groups, group, &image.origin, &image.reference) == path {
                return Ok(Some(self.file_from(image, record)?));
            }
        }
        Ok(None)
    }

    /// Writes a damaged file of an image again, which was removed, if the database can be trusted and knows the image.
    /// It does not know one whose file was removed on purpose. To be called while no entry is added or removed.
    pub(super) fn restore_image(&self, group: GroupId, path: &Path) -> Option<ImageFile> {
        if self.trust() != Trust::Checked {
            return None;
        }
        let file = self.in_database(|| self.image_with_file(group, path)).flatten()?;
        // On a full disk the image is forgotten.
        file.write_durably(&self.groups, group).ok().map(|()| file)
    }

    fn file_from(&self, image: ImageKey, record: ImageRecord) -> Result<ImageFile, StoreError> {
        let ImageKey { group, origin, reference } = image;
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        let pulled = |tag: &Tag| read::<TagEntry>(self.group_tags.get(key::group_tag(&origin, tag, group))?);
        let pulled = tag.as_ref().map(pulled).transpose()?.flatten();
        let newest = |tag: &Tag| read::<TagEntry>(self.tags.get(key::tag(&origin, tag))?);
        let newest = tag.as_ref().map(newest).transpose()?.flatten();
        let is_it = |entry: &TagEntry| entry.digest == record.digest;
        let unknown = TagEntry { digest: record.digest, checked_at: record.cached_at, denied: false };
        // The newest entry also shows a denial.
        let entry = newest.filter(is_it).or(pulled.filter(is_it)).unwrap_or(unknown);
        let cached_at = Some(record.cached_at);
        Ok(ImageFile { origin, tag, entry, cached_at, pinned: record.pinned, earlier: Vec::new() })
    }
}
