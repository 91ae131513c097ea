//! Amounts of content that groups have cached, counted from their small files. Reads every file and changes
//! nothing.

use std::collections::HashSet;

use super::{Index, StoreError, index_file};
use crate::domain::id::GroupId;
use crate::store::content::Holdings;

impl Index {
    /// Returns the holdings of these groups together. Content that was only referenced by a manifest is not
    /// counted. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn holdings(&self, groups: &[GroupId]) -> Result<Holdings, StoreError> {
        let (mut tags, mut bytes, mut counted) = (0, 0, HashSet::new());
        for group in groups.iter().filter(|group| !index_file::is_forgotten(&self.groups, **group)) {
            tags += self.cached_tags(*group)?.len();
            for path in index_file::link_files(&self.groups, *group)? {
                for entry in index_file::read_links(&path?, *group)?.links {
                    if entry.link.is_granted() && counted.insert(entry.digest) {
                        bytes += entry.link.size.unwrap_or_default();
                    }
                }
            }
        }
        Ok(Holdings { tags, bytes })
    }
}
