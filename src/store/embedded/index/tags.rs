//! Tags: what each stands for, and which groups have pulled it.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::trust::Trust;
use super::{ImageFile, Index, StoreError, index_file, key, read};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::images::ImageKey;
use crate::store::link::TagEntry;

/// Disk space in bytes that a tag requires, in its file and in the database together.
pub(super) const BYTES_PER_TAG: usize = 8 << 10;

impl Index {
    /// Returns the content that a tag of this origin refers to, as last confirmed by upstream.
    ///
    /// # Errors
    ///
    /// Fails if a file of the tag cannot be read because the process lacks open files or memory.
    pub fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let entry = self.if_trusted(|| read(self.tags.get(key::tag(origin, tag))?));
        let entry = entry.unwrap_or_else(|| self.newest_tag(origin, tag))?;
        self.database.settle();
        Ok(entry)
    }

    /// Returns the newest entry of a tag in the small files.
    fn newest_tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let mut newest: Option<TagEntry> = None;
        for (_, file) in self.files_of_tag(origin, tag)? {
            if newest.is_none_or(|newest| newest.is_before(&file.entry)) {
                newest = Some(file.entry);
            }
        }
        Ok(newest)
    }

    /// Returns the files of this tag from all groups that have pulled it.
    fn files_of_tag(&self, origin: &Origin, tag: &Tag) -> Result<Vec<(GroupId, ImageFile)>, StoreError> {
        let (mut files, tag) = (Vec::new(), Reference::Tag(tag.clone()));
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            if let Some(file) = ImageFile::read(&self.groups, group, origin, &tag)?
                && !index_file::is_forgotten(&self.groups, group)
            {
                files.push((group, file));
            }
        }
        Ok(files)
    }

    /// Records the content that a tag refers to, and that this group has pulled it. Returns the content to which it
    /// referred when this group pulled it before, if that was other content.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the tag's file cannot be written.
    pub fn set_tag(
        &self,
        group: GroupId,
        origin: &Origin,
        tag: &Tag,
        entry: TagEntry,
    ) -> Result<Option<Digest>, StoreError> {
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let (tag_key, group_key) = (key::tag(origin, tag), key::group_tag(origin, tag, group));
        let value = serde_json::to_vec(&entry)?;
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        let image = ImageKey { group, origin: origin.clone(), reference: Reference::Tag(tag.clone()) };
        let confirm = || {
            // Without one, a purge has just removed it.
            Ok(self.images.contains_key(key::image(&image))?
                && self.confirm_tag(&tag_key, &group_key, &entry, &value)?)
        };
        let again = self.if_trusted(confirm);
        if let Some(Ok(true)) = again {
            self.database.settle();
            return Ok(None);
        }
        self.check_space(BYTES_PER_TAG)?;
        let (file, before) = self.written_image(group, origin, Some(tag), entry)?;
        self.found.note(&group_key);
        let insert = || {
            self.group_tags.insert(group_key, value.as_slice())?;
            // Another group may have had it confirmed, moved or refused since this entry was read.
            let newest: Option<TagEntry> = read(self.tags.get(&tag_key)?).ok().flatten();
            if !newest.is_some_and(|newest| entry.is_before_known(&newest)) {
                self.tags.insert(tag_key, value)?;
            }
            self.put_image(group, &file)
        };
        self.in_database(|| self.database.change(insert));
        self.note_pin(&file);
        Ok(before.filter(|before| *before != entry.digest))
    }

    /// Updates the confirmation time of a tag if nothing else has changed, and returns whether that was done. This
    /// update alone need not be durable: if it is lost, upstream is requested once more.
    fn confirm_tag(
        &self,
        tag_key: &[u8],
        group_key: &[u8],
        entry: &TagEntry,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let (pulled, before) = (self.group_tags.get(group_key)?, self.tags.get(tag_key)?);
        let same = |known: Option<TagEntry>| known.is_some_and(|known| known.digest == entry.digest && !known.denied);
        let newest: Option<TagEntry> = read(before.clone())?;
        if !same(read(pulled)?) || !same(newest) {
            return Ok(false);
        }
        // The file of the image may have the newer time.
        if newest.is_some_and(|newest| entry.is_before_known(&newest)) {
            return Ok(true);
        }
        Ok(self.tags.compare_and_swap(tag_key, before, Some(value))?.is_ok())
    }

    /// Returns the digest for which this tag stood when this group last pulled it; `None` if it has not.
    ///
    /// # Errors
    ///
    /// Fails if the tag's file cannot be read because the process lacks open files or memory.
    pub fn tag_of_group(&self, group: GroupId, origin: &Origin, tag: &Tag) -> Result<Option<Digest>, StoreError> {
        let entry = self.if_trusted(|| read::<TagEntry>(self.group_tags.get(key::group_tag(origin, tag, group))?));
        let file = || ImageFile::read(&self.groups, group, origin, &Reference::Tag(tag.clone()));
        let digest = match entry {
            Some(entry) => entry?.map(|entry| entry.digest),
            None => file()?.map(|file| file.entry.digest),
        };
        self.database.settle();
        Ok(digest)
    }

    /// Records that upstream now refuses the repository of this tag: its entry is kept, but must not be served any
    /// more. On a full disk, to which the database must not write, only the files record it and are authoritative
    /// from then on.
    ///
    /// # Errors
    ///
    /// Fails if the denial can neither be recorded nor the tag be removed.
    pub fn deny_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let deny = || {
            self.database.check_writable()?;
            if let Some(entry) = read::<TagEntry>(self.tags.get(key::tag(origin, tag))?)? {
                let denied = TagEntry { denied: true, ..entry };
                self.tags.insert(key::tag(origin, tag), serde_json::to_vec(&denied)?)?;
            }
            Ok(())
        };
        self.in_database(|| self.database.change(deny));
        let mut denied = Ok(());
        for (group, mut file) in self.files_of_tag(origin, tag)? {
            file.entry.denied = true;
            // On a full disk the tag is removed instead, which needs no space: the next pull makes a request to
            // upstream.
            if file.write(&self.groups, group).is_err() {
                denied = denied.and(ImageFile::remove(&self.groups, group, origin, &file.reference()));
            }
        }
        denied
    }

    /// Removes a tag that upstream no longer has, for all groups. The images of groups that have pinned it stay, so
    /// that their content is not evicted, but the tag is not served any more.
    ///
    /// # Errors
    ///
    /// Fails if a file of the tag cannot be removed.
    pub fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let reference = Reference::Tag(tag.clone());
        let files = self.files_of_tag(origin, tag)?;
        let pinned: HashSet<GroupId> =
            files.into_iter().filter(|(_, file)| file.pinned).map(|(group, _)| group).collect();
        let forget = || {
            self.database.check_writable()?;
            self.tags.remove(key::tag(origin, tag))?;
            for entry in self.group_tags.scan_prefix(key::tag(origin, tag)).keys() {
                let key = entry?;
                self.group_tags.remove(&key)?;
                if let Some(group) = key::group_of_tag(&key).filter(|group| !pinned.contains(group)) {
                    self.forget_image(&ImageKey { group, origin: origin.clone(), reference: reference.clone() })?;
                }
            }
            Ok(())
        };
        self.in_database(|| self.database.change(forget));
        let mut dropped = Ok(());
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            if !pinned.contains(&group) {
                dropped = dropped.and(ImageFile::remove(&self.groups, group, origin, &reference));
            }
        }
        dropped
    }
}
