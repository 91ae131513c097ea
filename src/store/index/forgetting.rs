//! What a purge takes away: all that a group has in the index, and the small files after it.

use std::collections::BTreeSet;

use super::{Index, StoreError, index_file, key};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;

impl Index {
    /// Takes everything from a group: its links, and its tags where no other group has them. Returns the contents that no
    /// group may open any more. Its small files stay, so that this can be done again after a crash.
    pub fn forget_group(&self, group: GroupId) -> Result<Vec<Digest>, StoreError> {
        // Nothing that a comparison has read of the group's files is put back after this.
        self.check_against_files()?;
        let digests = self.forget_links(group)?;
        self.in_database(|| self.forget_tags(group));
        let mut orphans = Vec::new();
        for digest in digests {
            if !self.is_linked(&digest)? {
                self.in_database(|| self.forget_sources(&digest));
                orphans.push(digest);
            }
        }
        Ok(orphans)
    }

    /// Removes the small files of a group that was forgotten: the last step, after the contents that nobody may open.
    pub fn remove_files(&self, group: GroupId) -> Result<(), StoreError> {
        self.in_database(|| self.database.write_out());
        index_file::remove_all(&self.groups, group)
    }

    /// Notes durably that a group is to be forgotten, so that it is although the process ends before.
    pub fn mark_forgotten(&self, group: GroupId) -> Result<(), StoreError> {
        index_file::mark_forgotten(&self.groups, group)
    }

    /// Whether that was noted, and the group's files are not yet removed.
    pub fn is_forgotten(&self, group: GroupId) -> bool {
        index_file::is_forgotten(&self.groups, group)
    }

    /// Returns the contents that the links opened.
    fn forget_links(&self, group: GroupId) -> Result<BTreeSet<Digest>, StoreError> {
        let mut digests = BTreeSet::new();
        self.in_database(|| {
            for entry in self.links.iter().keys() {
                let link = entry?;
                if let Some(digest) = key::digest_of_link(&link, group) {
                    self.links.remove(&link)?;
                    digests.insert(digest);
                }
            }
            Ok(())
        });
        for path in index_file::link_files(&self.groups, group)? {
            digests.extend(index_file::read_links(&path?, group)?.links.into_iter().map(|link| link.digest));
        }
        Ok(digests)
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

    fn forget_sources(&self, digest: &Digest) -> Result<(), StoreError> {
        for source in self.sources.scan_prefix(digest.as_bytes()).keys() {
            self.sources.remove(source?)?;
        }
        Ok(())
    }
}
