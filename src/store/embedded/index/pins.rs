//! Pins of images: recorded in the image's file, durably, and in the database.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{ImageFile, ImageRecord, Index, StoreError, key};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::reference::Reference;
use crate::store::images::ImageKey;
use crate::store::link::TagEntry;

impl Index {
    /// Pins an image, or ends that. Durable when it returns. Returns false if the group has no such image.
    ///
    /// # Errors
    ///
    /// Fails if the image's file cannot be read or written.
    pub fn pin(&self, image: &ImageKey, pinned: bool) -> Result<bool, StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let ImageKey { group, origin, reference } = image;
        let (file, is_missing) = match ImageFile::read(&self.groups, *group, origin, reference)? {
            Some(file) => (Some(file), false),
            None => (self.file_of_record(image)?, true),
        };
        let Some(mut file) = file else { return Ok(false) };
        if is_missing || file.pinned != pinned {
            file.pinned = pinned;
            file.write_durably(&self.groups, *group)?;
            self.in_database(|| self.database.change(|| self.put_image(*group, &file)));
            self.note_pin(&file);
        }
        Ok(true)
    }

    /// Returns all pinned images, with their digests. Compares the database with the files first, if that was not done
    /// since the start: it may lack some.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn pinned_images(&self) -> Result<Vec<(ImageKey, Digest)>, StoreError> {
        self.check_against_files()?;
        let in_database = self.in_database(|| {
            let mut pinned = Vec::new();
            for key in self.pins.iter().keys() {
                let key = key?;
                let record = self.images.get(&key)?.map(|value| ImageRecord::decoded(&value)).transpose()?;
                pinned.extend(key::image_of(&key).zip(record.map(|record| record.digest)));
            }
            Ok(pinned)
        });
        in_database.map_or_else(|| self.all_pinned_in_files(), Ok)
    }

    /// Returns the pinned images of a group, in the order of their names, for lists; see
    /// [`image_lists`](super::image_lists). Reads no others.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn pinned_of_group(&self, group: GroupId) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let in_database = self.in_database(|| {
            let mut pinned = Vec::new();
            for key in self.pins.scan_prefix(key::images_of_group(group)).keys() {
                let key = key?;
                let record = self.images.get(&key)?.map(|value| ImageRecord::decoded(&value)).transpose()?;
                pinned.extend(key::image_of(&key).zip(record));
            }
            Ok(pinned)
        });
        in_database.map_or_else(|| self.pinned_in_files(group), Ok)
    }

    /// Notes that this image may be pinned with other content than before, after it was recorded.
    pub(super) fn note_pin(&self, file: &ImageFile) {
        if file.pinned {
            self.pin_changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns the number of changes that may have pinned something since the start.
    pub fn pin_changes(&self) -> u64 {
        self.pin_changes.load(Ordering::SeqCst)
    }

    fn all_pinned_in_files(&self) -> Result<Vec<(ImageKey, Digest)>, StoreError> {
        let mut pinned = Vec::new();
        for group in self.groups()? {
            pinned.extend(self.pinned_in_files(group)?.into_iter().map(|(key, record)| (key, record.digest)));
        }
        Ok(pinned)
    }

    fn pinned_in_files(&self, group: GroupId) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        Ok(self.images_in_files(group)?.into_iter().filter(|(_, record)| record.pinned).collect())
    }

    /// Returns the content of the file of an image that has a record and no file, because it was pulled while its group
    /// was purged; `None` if it has no record.
    fn file_of_record(&self, image: &ImageKey) -> Result<Option<ImageFile>, StoreError> {
        let record = self.if_trusted(|| Ok(ImageRecord::read(self.images.get(key::image(image))?)));
        let Some(record) = record.transpose()?.flatten() else { return Ok(None) };
        let tag = match &image.reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        let known = tag.map(|tag| self.tag(&image.origin, tag)).transpose()?.flatten();
        let entry = known.filter(|entry| entry.digest == record.digest).unwrap_or(TagEntry {
            digest: record.digest,
            checked_at: record.cached_at,
            denied: false,
        });
        let file = ImageFile::after(None, &image.origin, tag, entry);
        Ok(Some(ImageFile { cached_at: Some(record.cached_at), pinned: record.pinned, ..file }))
    }
}
