//! Groups that hold content, which are those with a granted link to it, and the records of the files that they hold.

use super::{Index, StoreError, file_record, key, read};
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::store::link::Link;
use crate::store::usage::StoredFile;

impl Index {
    /// Returns the groups that hold some content: those with a granted link to it.
    pub(super) fn holders(&self, digest: &Digest) -> Result<Vec<GroupId>, StoreError> {
        let mut holders = Vec::new();
        for entry in self.links.scan_prefix(digest.as_bytes()) {
            let (key, link) = entry?;
            if let Some((_, group)) = key::holder_of_link(&key)
                && holders.last() != Some(&group)
                && read::<Link>(Some(link))?.is_some_and(Link::is_granted)
            {
                holders.push(group);
            }
        }
        Ok(holders)
    }

    /// Returns true if the group holds this content.
    pub(super) fn holds(&self, group: GroupId, digest: &Digest) -> Result<bool, StoreError> {
        for link in self.links.scan_prefix(key::links_of_group(digest, group)).values() {
            if read::<Link>(Some(link?))?.is_some_and(Link::is_granted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the record of a stored file. A file whose record is not written yet has none.
    pub(super) fn file(&self, digest: &Digest) -> Result<Option<StoredFile>, StoreError> {
        Ok(self.files.get(digest.as_bytes())?.as_deref().and_then(file_record::stored))
    }

    /// Returns the record of a stored file, as [`Self::file`] does; `None` if the database cannot be read.
    pub fn stored_file(&self, digest: &Digest) -> Option<StoredFile> {
        self.in_database(|| self.file(digest)).flatten()
    }

    /// Returns the record of a file to which a group has a granted link from this origin.
    pub fn held_file(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Option<StoredFile> {
        let held = || if self.has_granted(group, origin, digest)? { self.file(digest) } else { Ok(None) };
        self.in_database(held).flatten()
    }

    /// Returns true if a group has a granted link of its own from this origin; `None` if the database cannot be read.
    pub fn is_granted(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Option<bool> {
        self.in_database(|| self.has_granted(group, origin, digest))
    }

    fn has_granted(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<bool, StoreError> {
        let link: Option<Link> = read(self.links.get(key::link(digest, group, origin))?)?;
        Ok(link.is_some_and(Link::is_granted))
    }
}
