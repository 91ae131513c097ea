//! Making the index anew from the small files, where it is new, was damaged or was not finished.

use super::{Index, LinkFile, StoreError, TagFile, index_file, key};
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
        let mut links = index_file::links(&self.groups, group)?;
        while let Some(some) = next_of(&mut links)? {
            self.insert_found_links(group, some)?;
        }
        let mut tags = index_file::tags(&self.groups, group)?;
        while let Some(some) = next_of(&mut tags)? {
            self.insert_found_tags(group, some)?;
        }
        Ok(())
    }

    fn insert_found_links(&self, group: GroupId, mut links: Vec<LinkFile>) -> Result<(), StoreError> {
        links.sort_unstable_by_key(|file| file.digest);
        for LinkFile { origin, digest, link } in links {
            self.links.insert(key::link(&digest, group, &origin), serde_json::to_vec(&link)?)?;
            if link.proven {
                self.sources.insert(key::source(&digest, &origin), b"")?;
            }
        }
        Ok(())
    }

    fn insert_found_tags(&self, group: GroupId, mut tags: Vec<TagFile>) -> Result<(), StoreError> {
        tags.sort_by_cached_key(|file| key::tag(&file.origin, &file.tag));
        for TagFile { origin, tag, entry } in tags {
            self.group_tags.insert(key::group_tag(&origin, &tag, group), serde_json::to_vec(&entry)?)?;
            let newest = self.tag(&origin, &tag)?;
            if newest.is_none_or(|newest| newest.checked_at < entry.checked_at) {
                self.tags.insert(key::tag(&origin, &tag), serde_json::to_vec(&entry)?)?;
            }
        }
        Ok(())
    }
}

/// Inserted in the order of their keys, so many at a time touch each page of sled's once; in the order in which the file system
/// has them, nearly each touches another page, of which memory holds few.
const AT_A_TIME: usize = 100_000;

fn next_of<T>(found: &mut impl Iterator<Item = Result<T, StoreError>>) -> Result<Option<Vec<T>>, StoreError> {
    let some = found.take(AT_A_TIME).collect::<Result<Vec<T>, StoreError>>()?;
    Ok(Some(some).filter(|some| !some.is_empty()))
}
