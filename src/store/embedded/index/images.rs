//! Images that groups have pulled: a record of each in the database, for lists, and a small file, which is
//! authoritative except for the numbers and times of pulls.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::tags::BYTES_PER_TAG;
use super::trust::Trust;
use super::{ImageFile, ImageRecord, Index, StoreError, image_files, image_record, key};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::domain::repository::{Repository, UpstreamName};
use crate::store::images::{Earlier, ImageKey, Pulls};
use crate::store::link::TagEntry;

/// Time by which clocks of replicas, or of this machine before and after it was set, may differ.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

impl Index {
    /// Records that a group has pulled a digest that no other image of it names.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the image's file cannot be written.
    pub fn add_digest(&self, group: GroupId, origin: &Origin, entry: TagEntry) -> Result<(), StoreError> {
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        self.check_space(BYTES_PER_TAG)?;
        let (file, _) = self.written_image(group, origin, None, entry)?;
        self.in_database(|| self.database.change(|| self.put_image(group, &file)));
        self.note_pin(&file);
        Ok(())
    }

    /// Writes the file of an image that is pulled now. Returns its content, and the digest that it had before.
    pub(super) fn written_image(
        &self,
        group: GroupId,
        origin: &Origin,
        tag: Option<&Tag>,
        entry: TagEntry,
    ) -> Result<(ImageFile, Option<Digest>), StoreError> {
        let reference = tag.cloned().map_or(Reference::Digest(entry.digest), Reference::Tag);
        let before = ImageFile::read(&self.groups, group, origin, &reference)?;
        let digest = before.as_ref().map(|before| before.entry.digest);
        if digest != Some(entry.digest) {
            self.image_changes.fetch_add(1, Ordering::SeqCst);
        }
        let file = ImageFile::after(before, origin, tag, entry);
        file.write(&self.groups, group)?;
        Ok((file, digest))
    }

    /// Puts the record of an image into the database, after its file. The pulls that are known stay.
    pub(super) fn put_image(&self, group: GroupId, file: &ImageFile) -> Result<(), StoreError> {
        let image = ImageKey { group, origin: file.origin.clone(), reference: file.reference() };
        let key = key::image(&image);
        self.found.note(&key);
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.images.get(&key)?;
        let is_present_version = value.as_deref().is_some_and(image_record::is_present_version);
        let before = ImageRecord::read(value);
        if before.is_none() {
            self.totals.add_image(&key, group);
        }
        let record = ImageRecord {
            digest: file.entry.digest,
            cached_at: file.since(),
            // After the loss of the index, an image counts as pulled now, so that it is not removed for its age.
            last_pulled_at: before.map_or_else(Timestamp::now, |before| before.last_pulled_at),
            pulls: before.map_or(0, |before| before.pulls),
            pinned: file.pinned,
        };
        if before != Some(record) || !is_present_version {
            self.images.insert(&key, record.encoded())?;
        }
        Ok(if file.pinned { self.pins.insert(key, b"").map(drop) } else { self.pins.remove(key).map(drop) }?)
    }

    /// Returns the number of times that an image came or got another digest since the start. As long as it is the same,
    /// images name what they named before, or less.
    pub fn image_changes(&self) -> u64 {
        self.image_changes.load(Ordering::SeqCst)
    }

    /// Removes the record of an image.
    pub(super) fn forget_image(&self, image: &ImageKey) -> Result<(), StoreError> {
        let key = key::image(image);
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        if self.images.remove(&key)?.is_some() {
            self.totals.remove_image(&key, image.group);
        }
        self.pins.remove(key)?;
        Ok(())
    }

    /// Removes the records of all images of a group.
    pub(super) fn forget_images(&self, group: GroupId) -> Result<(), StoreError> {
        for key in self.images.scan_prefix(key::images_of_group(group)).keys() {
            if let Some(image) = key::image_of(&key?) {
                self.forget_image(&image)?;
            }
        }
        Ok(())
    }

    /// Adds pulls to the records of images that are there. A pull by a digest without a record is one of the tags of
    /// its repository that stand for the digest. Others are left out.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for records, and if the file system does not report its
    /// free space.
    pub fn record_pulls(&self, pulls: &HashMap<ImageKey, Pulls>) -> Result<(), StoreError> {
        if pulls.is_empty() {
            return Ok(());
        }
        if !self.may_record()? {
            return Err(StoreError::Full);
        }
        for (image, pulls) in pulls {
            if !self.add_pulls(image, *pulls)
                && let Reference::Digest(digest) = image.reference
            {
                let Origin { upstream, repository, .. } = &image.origin;
                for (key, record) in self.images_of_repository(image.group, upstream, repository)? {
                    if key.origin == image.origin && record.digest == digest {
                        // The tag was not requested; only the time counts.
                        self.add_pulls(&key, Pulls { count: 0, ..*pulls });
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds pulls to the record of an image. Returns false if there is none.
    fn add_pulls(&self, image: &ImageKey, pulls: Pulls) -> bool {
        let key = key::image(image);
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let added = self.in_database(|| {
            let Some(mut record) = ImageRecord::read(self.images.get(&key)?) else { return Ok(false) };
            record.pulls = record.pulls.saturating_add(pulls.count);
            record.last_pulled_at = last_pull(record.last_pulled_at, pulls.last, Timestamp::now());
            self.images.insert(key, record.encoded())?;
            Ok(true)
        });
        added == Some(true)
    }

    /// Replaces the numbers of pulls in the records of images, and their times of the last pull by later ones, or by
    /// some that have passed if they have not.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::record_pulls`] does.
    pub fn put_pulls(&self, images: &[(ImageKey, Pulls)]) -> Result<(), StoreError> {
        if !images.is_empty() && !self.may_record()? {
            return Err(StoreError::Full);
        }
        images.iter().for_each(|(image, pulls)| self.put_pulls_of(image, *pulls));
        Ok(())
    }

    fn put_pulls_of(&self, image: &ImageKey, pulls: Pulls) {
        let key = key::image(image);
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_database(|| {
            let Some(before) = ImageRecord::read(self.images.get(&key)?) else { return Ok(()) };
            let last_pulled_at = last_pull(before.last_pulled_at, pulls.last, Timestamp::now());
            let record = ImageRecord { pulls: pulls.count, last_pulled_at, ..before };
            if record != before {
                self.images.insert(key, record.encoded())?;
            }
            Ok(())
        });
    }

    /// Returns the record of an image; `None` if there is none, or if the database cannot be read.
    pub(super) fn image(&self, image: &ImageKey) -> Option<ImageRecord> {
        self.in_database(|| Ok(ImageRecord::read(self.images.get(key::image(image))?))).flatten()
    }

    /// Returns the images of a group in a repository, with whatever account they were pulled.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn images_of_repository(
        &self,
        group: GroupId,
        upstream: &UpstreamName,
        repository: &Repository,
    ) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let of_database = self.images_in_database(&key::images_of_repository(group, upstream, repository));
        of_database.unwrap_or_else(|| {
            let is_of = |image: &ImageKey| image.origin.upstream == *upstream && image.origin.repository == *repository;
            Ok(self.images_in_files(group)?.into_iter().filter(|(image, _)| is_of(image)).collect())
        })
    }

    /// Returns the images of a group with this name and tag or digest, with whatever account they were pulled. Reads no
    /// others, unless the database cannot be read.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn images_of_reference(
        &self,
        group: GroupId,
        (upstream, repository): (&UpstreamName, &Repository),
        reference: &Reference,
    ) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let prefix = key::images_of_reference(group, upstream, repository, reference);
        self.images_in_database(&prefix).unwrap_or_else(|| {
            let images = self.images_of_repository(group, upstream, repository)?;
            Ok(images.into_iter().filter(|(image, _)| image.reference == *reference).collect())
        })
    }

    /// Returns all images of a group, in the order of their names. Reads their files if the database cannot be read.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn images_of_group(&self, group: GroupId) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let of_database = self.images_in_database(&key::images_of_group(group));
        of_database.unwrap_or_else(|| self.images_in_files(group))
    }

    /// Returns the images whose keys begin with this prefix; `None` if the database cannot be trusted.
    fn images_in_database(&self, prefix: &[u8]) -> Option<Result<Vec<(ImageKey, ImageRecord)>, StoreError>> {
        self.if_trusted(|| self.images_with(prefix))
    }

    pub(super) fn images_in_files(&self, group: GroupId) -> Result<Vec<(ImageKey, ImageRecord)>, StoreError> {
        let mut images = Vec::new();
        for file in image_files::all(&self.groups, group)? {
            let file = file?;
            let record = ImageRecord {
                digest: file.entry.digest,
                cached_at: file.since(),
                last_pulled_at: file.entry.checked_at,
                pulls: 0,
                pinned: file.pinned,
            };
            images.push((ImageKey { group, origin: file.origin.clone(), reference: file.reference() }, record));
        }
        images.sort_by_cached_key(|(image, _)| key::image(image));
        Ok(images)
    }

    /// Returns what a tag of a group stood for before, the oldest first.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read because the process lacks open files or memory.
    pub fn earlier(&self, image: &ImageKey) -> Result<Vec<Earlier>, StoreError> {
        let file = ImageFile::read(&self.groups, image.group, &image.origin, &image.reference)?;
        Ok(file.map(|file| file.earlier).unwrap_or_default())
    }

    /// Returns true once the database was compared with the files and can be read. Compares it, if that was not done.
    ///
    /// # Errors
    ///
    /// Does not fail at present.
    pub fn is_checked(&self) -> Result<bool, StoreError> {
        self.check_against_files()?;
        Ok(self.trust() == Trust::Checked)
    }
}

/// Returns the time of the last pull, after one at `last`. Pulls may come late, so that the later time counts; but a
/// time that is ahead of the clock was written while the clock was wrong, and would put off the removal for age.
fn last_pull(known: Timestamp, last: Timestamp, now: Timestamp) -> Timestamp {
    let is_ahead = |time: Timestamp| time.duration_since(now) > MAX_CLOCK_DIFFERENCE;
    if is_ahead(known) && !is_ahead(last) { last } else { known.max(last) }
}
