//! Removal of a purged group: all of its entries in the index, and then its small files.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::{Index, StoreError, index_file, key, link_files};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;

impl Index {
    /// Removes all links of a group, and its tags where no other group has them. Returns the contents that no group
    /// may read any more. The small files stay, so that this can be repeated after a crash.
    ///
    /// # Errors
    ///
    /// Fails if the group's files cannot be listed because the process lacks open files or memory.
    pub fn forget_group(&self, group: GroupId) -> Result<Vec<Digest>, StoreError> {
        // Completes the comparison with the files first: it could otherwise add entries of this group again. A repeated
        // comparison leaves the group out from now on.
        self.check_against_files()?;
        self.purging.lock().unwrap_or_else(PoisonError::into_inner).insert(group);
        drop(self.adding.write());
        let mut digests = self.forget_entries(group);
        for path in link_files::paths(&self.groups, group)? {
            digests.extend(link_files::read(&path?, group)?.links.into_iter().map(|link| link.digest));
        }
        let mut orphans = Vec::new();
        for digest in digests {
            if !self.is_linked(&digest)? {
                self.in_database(|| self.forget_sources(&digest));
                orphans.push(digest);
            }
        }
        Ok(orphans)
    }

    /// Removes the entries of groups whose purge was interrupted, before anybody looks them up. The purge is repeated
    /// later, because their small files and contents are still there.
    ///
    /// # Errors
    ///
    /// Fails if the folder of the small files cannot be read.
    pub(super) fn forget_purged(&self) -> Result<(), StoreError> {
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            if index_file::is_forgotten(&self.groups, group) {
                self.purging.lock().unwrap_or_else(PoisonError::into_inner).insert(group);
                self.forget_entries(group);
            }
        }
        Ok(())
    }

    /// Removes the small files of a purged group, with those of pulls meanwhile, and the entries of these. This is the
    /// last step, after the removal of the contents that no group may read any more.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub fn remove_files(&self, group: GroupId) -> Result<(), StoreError> {
        self.in_database(|| self.database.write_out());
        // Most files are removed while pulls are recorded. Pulls wait only for the removal of the rest.
        index_file::remove_files(&self.groups, group)?;
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        self.forget_entries(group);
        index_file::remove_all(&self.groups, group)?;
        self.purging.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
        Ok(())
    }

    /// Returns true while the group's entries are removed from the database, and its files still exist.
    pub(super) fn is_being_purged(&self, group: GroupId) -> bool {
        self.purging.lock().unwrap_or_else(PoisonError::into_inner).contains(&group)
    }

    /// Records durably that a group is to be purged, so that the purge is completed even if the process ends
    /// before.
    ///
    /// # Errors
    ///
    /// Fails if the note cannot be written.
    pub fn mark_forgotten(&self, group: GroupId) -> Result<(), StoreError> {
        index_file::mark_forgotten(&self.groups, group)
    }

    /// Returns true if a purge of the group, or a removal of images from it, has begun and not ended.
    pub(in crate::store) fn is_removing(&self, group: GroupId) -> bool {
        index_file::is_removing_from(&self.groups.join(group.to_string()))
    }

    /// Returns true if the purge of the group was recorded and its files still exist.
    pub fn is_forgotten(&self, group: GroupId) -> bool {
        index_file::is_forgotten(&self.groups, group)
    }

    /// Returns each group that has files, and whether its purge was recorded.
    ///
    /// # Errors
    ///
    /// Fails if the groups cannot be listed.
    pub fn groups_and_purges(&self) -> Result<Vec<(GroupId, bool)>, StoreError> {
        // A purge that ended after a group was listed would make it one that is not purged.
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        Ok(self.groups()?.into_iter().map(|group| (group, self.is_forgotten(group))).collect())
    }

    /// Removes the entries of a group from the database. Returns the contents that its links referred to.
    fn forget_entries(&self, group: GroupId) -> BTreeSet<Digest> {
        let mut digests = BTreeSet::new();
        self.in_database(|| {
            for entry in self.links.iter().keys() {
                let link = entry?;
                if let Some(digest) = key::digest_of_link(&link, group) {
                    self.forget_link(group, &digest, &link)?;
                    digests.insert(digest);
                }
            }
            self.forget_tags(group)?;
            self.forget_images(group)
        });
        digests
    }

    fn forget_tags(&self, group: GroupId) -> Result<(), StoreError> {
        for entry in self.group_tags.iter().keys() {
            let group_tag = entry?;
            if key::group_of_tag(&group_tag) != Some(group) {
                continue;
            }
            self.group_tags.remove(&group_tag)?;
            let tag = key::tag_of_group_tag(&group_tag);
            if self.group_tags.scan_prefix(tag).next().transpose()?.is_none() {
                self.tags.remove(tag)?;
            }
        }
        Ok(())
    }

    pub(super) fn forget_sources(&self, digest: &Digest) -> Result<(), StoreError> {
        for source in self.sources.scan_prefix(digest.as_bytes()).keys() {
            self.sources.remove(source?)?;
        }
        Ok(())
    }
}
