//! Making the index anew from the small files, where it is new, was damaged or was not finished.

use super::{Index, LinkFile, StoreError, TagFile, index_file, key, source_value};
use crate::domain::id::GroupId;

/// Stands in an index that was finished.
const COMPLETE: &[u8] = b"complete";

impl Index {
    pub(super) fn rebuild_unless_complete(&self) -> Result<(), StoreError> {
        if self.database.contains_key(COMPLETE)? {
            return Ok(());
        }
        for tree in [&self.links, &self.sources, &self.tags, &self.group_tags] {
            tree.clear()?;
        }
        for group in index_file::groups(&self.groups)? {
            self.rebuild_group(group?)?;
        }
        self.database.insert(COMPLETE, b"")?;
        self.flush()
    }

    fn rebuild_group(&self, group: GroupId) -> Result<(), StoreError> {
        for file in index_file::links(&self.groups, group)? {
            let LinkFile { origin, digest, link } = file?;
            self.links.insert(key::link(&digest, group, &origin), serde_json::to_vec(&link)?)?;
            if link.proven {
                self.sources.insert(key::source(&digest, &origin), source_value(&link))?;
            }
        }
        for file in index_file::tags(&self.groups, group)? {
            let TagFile { origin, tag, entry } = file?;
            self.group_tags.insert(key::group_tag(&origin, &tag, group), serde_json::to_vec(&entry)?)?;
            let newest = self.tag(&origin, &tag)?;
            if newest.is_none_or(|newest| newest.checked_at < entry.checked_at) {
                self.tags.insert(key::tag(&origin, &tag), serde_json::to_vec(&entry)?)?;
            }
        }
        Ok(())
    }
}
