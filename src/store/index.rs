//! The index of the cache: which group may open which content (links), and which content a tag last stood for. Kept in
//! sled for speed; each entry also stands in a small file, from which the index is rebuilt when it is lost.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::database::Database;
use super::error::{OpenError, StoreError};
use super::index_file::{self, LinkFile, TagFile};
use super::index_key as key;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;

/// The open index. Everything blocks.
pub struct Index {
    database: Database,
    links: sled::Tree,
    /// Which account of which upstream was seen to be given some content.
    sources: sled::Tree,
    tags: sled::Tree,
    group_tags: sled::Tree,
    /// Where the small files are.
    groups: PathBuf,
}

/// That a group knows some content of an origin, by name or because upstream gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The length that a manifest or upstream gave for the content, in bytes.
    pub size: Option<u64>,
    /// Whether upstream itself was seen to give the content to this origin's account. Where it was not, a manifest of the
    /// group names the content: enough to ask upstream for it, not to open bytes that came from elsewhere.
    pub proven: bool,
}

/// What a tag stood for when upstream was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagEntry {
    /// The digest of the manifest.
    pub digest: Digest,
    /// When upstream last said so.
    pub checked_at: Timestamp,
}

/// A tag that a group has pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedTag {
    /// Where it came from.
    pub origin: Origin,
    /// The tag.
    pub tag: Tag,
    /// What it stood for when this group pulled it, and when that was.
    pub entry: TagEntry,
}

const CACHE_BYTES: u64 = 16 << 20;
const COMPLETE: &[u8] = b"complete";

impl Index {
    /// Opens the index below the folder of all data. One that is damaged is set aside; one that is new, or was not
    /// finished, is rebuilt from the small files below the folder of the cache.
    pub fn open(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        let (folder, groups) = (data.join("index"), cache.join("groups"));
        let fail = |error: StoreError| OpenError::Io { path: folder.clone(), error };
        let index = match Self::open_trees(&folder, groups.clone()) {
            Err(StoreError::Damaged(reason)) => {
                tracing::warn!(reason, "the index is damaged; it is set aside and rebuilt");
                set_aside(&folder).map_err(fail)?;
                Self::open_trees(&folder, groups).map_err(fail)?
            }
            opened => opened.map_err(fail)?,
        };
        index.rebuild_unless_complete().map_err(fail)?;
        Ok(index)
    }

    fn open_trees(folder: &Path, groups: PathBuf) -> Result<Self, StoreError> {
        let database = Database::open(folder, CACHE_BYTES)?;
        let links = database.open_tree("links")?;
        let sources = database.open_tree("sources")?;
        let tags = database.open_tree("tags")?;
        let group_tags = database.open_tree("group_tags")?;
        Ok(Self { database, links, sources, tags, group_tags, groups })
    }

    /// The group's link to this content from this origin. A link by name counts as proven where the same account of the same
    /// upstream was given the content for another repository or group.
    pub fn link(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Link>, StoreError> {
        let Some(link) = self.written_link(group, origin, digest)? else { return Ok(None) };
        let proven = link.proven || self.sources.contains_key(key::source(digest, origin))?;
        Ok(Some(Link { proven, ..link }))
    }

    /// Adds these links of the group; what was known about one before stays known.
    pub fn add_links(&self, group: GroupId, origin: &Origin, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (digest, link) in links {
            let known = self.written_link(group, origin, digest)?;
            let link = known.map_or(*link, |known| known.and(link));
            if known == Some(link) {
                continue;
            }
            LinkFile { origin: origin.clone(), digest: *digest, link }.write(&self.groups, group)?;
            batch.insert(key::link(digest, group, origin), serde_json::to_vec(&link)?);
            if link.proven {
                self.sources.insert(key::source(digest, origin), b"")?;
            }
        }
        Ok(self.links.apply_batch(batch)?)
    }

    fn written_link(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Link>, StoreError> {
        read(self.links.get(key::link(digest, group, origin))?)
    }

    /// Whether any group may open this content.
    pub fn is_linked(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.links.scan_prefix(digest.as_bytes()).next().transpose()?.is_some())
    }

    /// What a tag of this origin stands for, as far as anybody asked.
    pub fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        read(self.tags.get(key::tag(origin, tag))?)
    }

    /// Notes what a tag stands for, and that this group has pulled it.
    pub fn set_tag(&self, group: GroupId, origin: &Origin, tag: &Tag, entry: TagEntry) -> Result<(), StoreError> {
        let group_key = key::group_tag(origin, tag, group);
        let known: Option<TagEntry> = read(self.group_tags.get(&group_key)?)?;
        if known.is_none_or(|known| known.digest != entry.digest) {
            TagFile { origin: origin.clone(), tag: tag.clone(), entry }.write(&self.groups, group)?;
            self.group_tags.insert(group_key, serde_json::to_vec(&entry)?)?;
        }
        self.tags.insert(key::tag(origin, tag), serde_json::to_vec(&entry)?)?;
        Ok(())
    }

    /// Forgets a tag that upstream no longer has, for every group.
    pub fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        self.tags.remove(key::tag(origin, tag))?;
        for entry in self.group_tags.scan_prefix(key::tag(origin, tag)).keys() {
            let group_key = entry?;
            self.group_tags.remove(&group_key)?;
            if let Some(group) = key::group_of_tag(&group_key) {
                TagFile::remove(&self.groups, group, origin, tag)?;
            }
        }
        Ok(())
    }

    /// What this group has pulled by tag.
    pub fn cached_tags(&self, group: GroupId) -> Result<Vec<CachedTag>, StoreError> {
        index_file::tags(&self.groups, group)?
            .map(|file| file.map(|TagFile { origin, tag, entry }| CachedTag { origin, tag, entry }))
            .collect()
    }

    /// Takes everything from a group: its links, and its tags where no other group has them. Returns the contents that no
    /// group may open any more.
    pub fn forget_group(&self, group: GroupId) -> Result<Vec<Digest>, StoreError> {
        let mut orphans = Vec::new();
        for file in index_file::links(&self.groups, group)? {
            let LinkFile { origin, digest, .. } = file?;
            self.links.remove(key::link(&digest, group, &origin))?;
            if !self.is_linked(&digest)? {
                self.forget_sources(&digest)?;
                orphans.push(digest);
            }
        }
        for file in index_file::tags(&self.groups, group)? {
            let TagFile { origin, tag, .. } = file?;
            self.group_tags.remove(key::group_tag(&origin, &tag, group))?;
            if self.group_tags.scan_prefix(key::tag(&origin, &tag)).next().is_none() {
                self.tags.remove(key::tag(&origin, &tag))?;
            }
        }
        index_file::remove_all(&self.groups, group)?;
        Ok(orphans)
    }

    /// Forces everything to the disk. What is lost without it is found again in the small files.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }

    fn forget_sources(&self, digest: &Digest) -> Result<(), StoreError> {
        for source in self.sources.scan_prefix(digest.as_bytes()).keys() {
            self.sources.remove(source?)?;
        }
        Ok(())
    }

    fn rebuild_unless_complete(&self) -> Result<(), StoreError> {
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
                self.sources.insert(key::source(&digest, &origin), b"")?;
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

impl Link {
    /// What both together say.
    fn and(self, other: &Self) -> Self {
        Self { size: other.size.or(self.size), proven: self.proven || other.proven }
    }
}

fn read<T: DeserializeOwned>(value: Option<sled::IVec>) -> Result<Option<T>, StoreError> {
    Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
}

fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.with_extension("damaged");
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    Ok(fs::rename(folder, aside)?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::Account;

    const A: GroupId = GroupId(1);
    const B: GroupId = GroupId(2);

    const PROVEN: Link = Link { size: Some(7), proven: true };
    const NAMED: Link = Link { size: Some(7), proven: false };

    fn origin(account: Account) -> Origin {
        Origin { upstream: "docker.io".parse().unwrap(), account, repository: "library/alpine".parse().unwrap() }
    }

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn entry(byte: u8, second: i64) -> TagEntry {
        TagEntry { digest: digest(byte), checked_at: Timestamp::from_second(second).unwrap() }
    }

    fn latest() -> Tag {
        "latest".parse().unwrap()
    }

    #[test]
    fn a_link_opens_content_for_one_group_and_one_account() {
        let data = tempfile::tempdir().unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
        index.add_links(A, &anonymous, &[(digest(1), PROVEN)]).unwrap();
        assert_eq!(index.link(A, &anonymous, &digest(1)).unwrap(), Some(PROVEN));
        assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), None);
        assert_eq!(index.link(A, &robot, &digest(1)).unwrap(), None);
    }

    #[test]
    fn a_name_in_a_manifest_opens_only_what_came_from_the_same_account() {
        let data = tempfile::tempdir().unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
        index.add_links(A, &robot, &[(digest(1), PROVEN)]).unwrap();
        index.add_links(B, &anonymous, &[(digest(1), NAMED)]).unwrap();
        index.add_links(B, &robot, &[(digest(1), NAMED)]).unwrap();
        assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), Some(NAMED));
        assert_eq!(index.link(B, &robot, &digest(1)).unwrap(), Some(PROVEN));
    }

    #[test]
    fn what_is_known_of_a_link_stays_known() {
        let data = tempfile::tempdir().unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        let origin = origin(Account::Anonymous);
        index.add_links(A, &origin, &[(digest(1), Link { size: None, proven: true })]).unwrap();
        index.add_links(A, &origin, &[(digest(1), NAMED)]).unwrap();
        assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(PROVEN));
    }

    #[test]
    fn a_lost_index_is_rebuilt_from_the_small_files() {
        let data = tempfile::tempdir().unwrap();
        let origin = origin(Account::Anonymous);
        let index = Index::open(data.path(), data.path()).unwrap();
        index.add_links(A, &origin, &[(digest(1), PROVEN)]).unwrap();
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        index.set_tag(B, &origin, &latest(), entry(2, 200)).unwrap();
        drop(index);
        fs::remove_dir_all(data.path().join("index")).unwrap();
        let index = Index::open(data.path(), data.path()).unwrap();
        assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(PROVEN));
        assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)));
        assert_eq!(index.cached_tags(A).unwrap()[0].entry, entry(1, 100));
    }

    #[test]
    fn forgetting_a_group_leaves_what_others_have() {
        let data = tempfile::tempdir().unwrap();
        let origin = origin(Account::Anonymous);
        let index = Index::open(data.path(), data.path()).unwrap();
        let link = PROVEN;
        index.add_links(A, &origin, &[(digest(1), link), (digest(2), link)]).unwrap();
        index.add_links(B, &origin, &[(digest(2), link)]).unwrap();
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        assert_eq!(index.forget_group(A).unwrap(), [digest(1)]);
        assert_eq!(index.link(A, &origin, &digest(2)).unwrap(), None);
        assert_eq!(index.link(B, &origin, &digest(2)).unwrap(), Some(link));
        assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
        assert!(index.cached_tags(A).unwrap().is_empty());
    }

    #[test]
    fn a_dropped_tag_is_gone_for_every_group() {
        let data = tempfile::tempdir().unwrap();
        let origin = origin(Account::Anonymous);
        let index = Index::open(data.path(), data.path()).unwrap();
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
        index.drop_tag(&origin, &latest()).unwrap();
        assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
        assert!(index.cached_tags(A).unwrap().is_empty() && index.cached_tags(B).unwrap().is_empty());
    }
}
