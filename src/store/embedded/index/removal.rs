//! Removal of single images from a group, and of what only they name.
//!
//! The steps, each of which is durable before the next begins: a note of the removal; the images themselves, after
//! which they are neither listed nor served by their tags; the note without them, because they may be pulled again from
//! now on; the links to what no other image of the group names. Then the content to which no group has a link is
//! removed, and at last the note. The removal in a note is repeated until the note is removed: at a start, and every
//! minute (`actors::janitor`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLockWriteGuard};

use jiff::Timestamp;

use super::link_files::Replacement;
use super::{ImageFile, Index, StoreError, index_file, key, removal_files};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::images::{ImageKey, Removal};

/// Removal of links whose file is prepared.
pub struct PreparedRemoval {
    group: GroupId,
    origin: Origin,
    digests: HashSet<Digest>,
    file: Replacement,
}

/// Outcome of a removal of links from the index.
#[derive(Debug)]
pub struct LinkRemoval {
    /// Contents to which no group has a link any more.
    pub orphans: Vec<Digest>,
    /// The file that has changed. That is durable only after a sync of its folder.
    pub file: Option<PathBuf>,
}

impl Index {
    /// Records a removal, and removes its images. Returns the path of the note.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written or removed. If the note was written, a start repeats the removal.
    pub fn begin_removal(&self, group: GroupId, removal: &mut Removal) -> Result<PathBuf, StoreError> {
        let note = removal_files::new_path(&self.groups, group);
        removal_files::write(&note, group, removal)?;
        self.repeat_removal(group, &note, removal)?;
        Ok(note)
    }

    /// Removes the images of a removal that is recorded in this note.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written or removed. A start repeats the removal then.
    pub fn repeat_removal(&self, group: GroupId, note: &Path, removal: &mut Removal) -> Result<(), StoreError> {
        for reference in std::mem::take(&mut removal.references) {
            let image = ImageKey { group, origin: removal.origin.clone(), reference };
            self.remove_image(&image, removal.unpulled_since)?;
        }
        removal_files::write(note, group, removal)
    }

    /// Returns the removals that were recorded and are not complete, with the paths of their notes.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn removals(&self) -> Result<Vec<(GroupId, PathBuf, Removal)>, StoreError> {
        let mut removals = Vec::new();
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            let of_group = removal_files::all(&self.groups, group)?;
            removals.extend(of_group.into_iter().map(|(note, removal)| (group, note, removal)));
        }
        Ok(removals)
    }

    /// Removes the note of a removal that is complete.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed.
    pub fn end_removal(&self, group: GroupId, note: &Path) -> Result<(), StoreError> {
        removal_files::remove(note, group)
    }

    /// Prepares the removal of the links of a group to these contents: does the part that takes long, without delaying
    /// other tasks.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub fn prepare_removal(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &HashSet<Digest>,
    ) -> Result<PreparedRemoval, StoreError> {
        let file = Replacement::prepare(&self.groups, group, origin, digests)?;
        Ok(PreparedRemoval { group, origin: origin.clone(), digests: digests.clone(), file })
    }

    /// Removes links whose removal was prepared. Returns the contents to which no group has a link any more, and the
    /// file that has changed, whose folder the caller syncs; `None` if the file was replaced since.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written.
    pub fn remove_prepared(&self, mut prepared: PreparedRemoval) -> Result<Option<LinkRemoval>, StoreError> {
        let guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let is_current = prepared.file.catch_up(&prepared.digests)?;
        if is_current { self.remove_while(guard, prepared).map(Some) } else { Ok(None) }
    }

    /// Removes the links of a group to these contents, while others wait. Returns what [`Self::remove_prepared`] does.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written.
    pub fn remove_links(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &HashSet<Digest>,
    ) -> Result<LinkRemoval, StoreError> {
        let guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let prepared = self.prepare_removal(group, origin, digests)?;
        self.remove_while(guard, prepared)
    }

    fn remove_while(
        &self,
        guard: RwLockWriteGuard<'_, ()>,
        PreparedRemoval { group, origin, digests, file }: PreparedRemoval,
    ) -> Result<LinkRemoval, StoreError> {
        let forget = |digest: &Digest| self.forget_link(group, digest, &key::link(digest, group, &origin));
        self.in_database(|| self.database.change(|| digests.iter().try_for_each(forget)));
        let file = file.put()?;
        drop(guard);
        let mut orphans = Vec::new();
        for digest in digests {
            if !self.is_linked(&digest)? {
                self.in_database(|| self.forget_sources(&digest));
                orphans.push(digest);
            }
        }
        Ok(LinkRemoval { orphans, file })
    }

    /// Removes an image of a group, and its tag if no other group has pulled it. With `unpulled_since`, an image that
    /// was pulled since then or is pinned stays.
    fn remove_image(&self, image: &ImageKey, unpulled_since: Option<Timestamp>) -> Result<(), StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = unpulled_since
            && self.image(image).is_none_or(|record| record.pinned || record.last_pulled_at >= since)
        {
            return Ok(());
        }
        let ImageKey { group, origin, reference } = image;
        let forget = || {
            self.forget_image(image)?;
            if let Reference::Tag(tag) = reference {
                self.group_tags.remove(key::group_tag(origin, tag, *group))?;
                if self.group_tags.scan_prefix(key::tag(origin, tag)).next().transpose()?.is_none() {
                    self.tags.remove(key::tag(origin, tag))?;
                }
            }
            Ok(())
        };
        self.in_database(|| self.database.change(forget));
        ImageFile::remove(&self.groups, *group, origin, reference)
    }
}
