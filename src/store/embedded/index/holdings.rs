//! Amounts of content that groups have cached, counted from their small files. Reads every file and changes
//! nothing.

use std::collections::HashSet;

use super::{Index, StoreError, image_files, index_file, link_files};
use crate::domain::id::GroupId;
use crate::store::outcomes::Holdings;

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
            tags += image_files::paths(&self.groups, *group)?.count();
            for path in link_files::paths(&self.groups, *group)? {
                for entry in link_files::read(&path?, *group)?.links {
                    if entry.link.is_granted() && counted.insert(entry.digest) {
                        bytes += entry.link.size.unwrap_or_default();
                    }
                }
            }
        }
        Ok(Holdings { tags, bytes })
    }
}
