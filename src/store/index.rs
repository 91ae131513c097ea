//! The index of the cache: which group may open which content (links), and which content a tag last stood for. Kept in
//! sled for speed; each entry also stands in a small file. The files are the truth: by them the database is rebuilt when it is lost
//! and put right when it was damaged, and until then they are read instead.

mod forgetting;
mod holdings;
mod rebuilding;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::sync::{Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::holdings::Holdings;
use self::rebuilding::{Found, Trust, UNREADABLE};
use super::damage::{self, Kind};
use super::database::Database;
use super::error::{OpenError, StoreError};
use super::index_file::{self, LinkFile, TagFile};
use super::index_key as key;
use super::reserve;
use super::room::Room;
use crate::domain::digest::Digest;
use crate::domain::download::Expected;
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
    /// On the disks of the small files and of the database.
    rooms: Vec<Room>,
    /// Where the database is.
    folder: PathBuf,
    /// A [`Trust`].
    trust: AtomicU8,
    found: Found,
    /// Held for writing while an entry is put right or taken away, and for reading while some are added.
    adding: RwLock<()>,
    /// Held during the comparison with the files.
    checking: Mutex<()>,
}

/// That a group knows some content of an origin, by name or because upstream gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The length of the content in bytes: as upstream gave it where the link is proven, else as a manifest claims it.
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
    /// Whether upstream has refused the repository to this account since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
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

/// So much an entry takes on the disk, its file and its place in the database together; no less.
const BYTES_PER_LINK: usize = 1 << 10;
const BYTES_PER_TAG: usize = 8 << 10;

impl Index {
    /// Opens the index below the folder of all data. One that is damaged or cannot be read is set aside; one that is new, or was not
    /// finished, is rebuilt from the small files below the folder of the cache.
    pub fn open(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        let (folder, groups) = (data.join("index"), cache.join("groups"));
        let fail = |error: StoreError| OpenError::of(&folder, error, data, reserve::MIN_FREE_BYTES);
        match Self::open_complete(&folder, groups.clone()) {
            Err(error @ (StoreError::Damaged(_) | StoreError::Io(_))) => {
                damage::found(Kind::Index, &folder, error, "it is set aside and rebuilt from the small files");
                set_aside(&folder).map_err(fail)?;
                Self::open_complete(&folder, groups).map_err(fail)
            }
            opened => opened.map_err(fail),
        }
    }

    /// The same, where no more is added than these rooms have.
    pub fn within(mut self, rooms: Vec<Room>) -> Self {
        self.rooms = rooms;
        self
    }

    /// Whether so many bytes may be added: to be asked before each addition. What takes something away, and a denial, may use more.
    fn check_room(&self, bytes: usize) -> Result<(), StoreError> {
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        self.rooms.iter().try_for_each(|room| room.check(bytes as u64))
    }

    fn open_complete(folder: &Path, groups: PathBuf) -> Result<Self, StoreError> {
        if folder.join(UNREADABLE).exists() {
            return Err(StoreError::Damaged("it could not be read".to_owned()));
        }
        // sled panics on some damage, also after it has opened.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let index = Self::open_trees(folder, groups)?;
            index.rebuild_unless_complete()?;
            Ok(index)
        }));
        opened.unwrap_or_else(|_| Err(StoreError::Damaged("sled could not read its own files".to_owned())))
    }

    fn open_trees(folder: &Path, groups: PathBuf) -> Result<Self, StoreError> {
        let database = Database::open(folder, CACHE_BYTES)?;
        let links = database.open_tree("links")?;
        let sources = database.open_tree("sources")?;
        let tags = database.open_tree("tags")?;
        let group_tags = database.open_tree("group_tags")?;
        Ok(Self {
            database,
            links,
            sources,
            tags,
            group_tags,
            groups,
            rooms: Vec::new(),
            folder: folder.to_owned(),
            trust: AtomicU8::default(),
            found: Found::default(),
            adding: RwLock::default(),
            checking: Mutex::default(),
        })
    }

    /// The group's link to this content from this origin. A link by name counts as proven where the same account of the same
    /// upstream was given the content for another repository or group.
    pub fn link(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Link>, StoreError> {
        let known = self.known_links(group, origin, std::slice::from_ref(digest))?.pop().flatten();
        let Some(link) = known else { return Ok(None) };
        let source = || Ok(self.sources.get(key::source(digest, origin))?);
        let source = if link.proven { None } else { self.in_database(source).flatten() };
        self.database.settle();
        Ok(Some(match source {
            // The size in a link by name is the manifest's claim.
            Some(size) => Link { size: size.as_ref().try_into().ok().map(u64::from_be_bytes), proven: true },
            None => link,
        }))
    }

    /// Adds these links of the group; what was known about one before stays known.
    pub fn add_links(&self, group: GroupId, origin: &Origin, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let _nothing_is_taken_away = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        let digests: Vec<Digest> = links.iter().map(|(digest, _)| *digest).collect();
        let known = self.known_links(group, origin, &digests)?;
        for ((digest, link), known) in links.iter().zip(known) {
            let link = known.map_or(*link, |known| known.and(link));
            if known != Some(link) {
                news.push((digest, link));
            }
        }
        if news.is_empty() {
            self.database.settle();
            return Ok(());
        }
        self.check_room(news.len() * BYTES_PER_LINK)?;
        index_file::append_links(&self.groups, group, origin, &news)?;
        // The files have them, whatever becomes of the database.
        self.in_database(|| self.database.change(|| self.insert_links(group, origin, &news)));
        Ok(())
    }

    fn insert_links(&self, group: GroupId, origin: &Origin, links: &[(&Digest, Link)]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (digest, link) in links {
            let key = key::link(digest, group, origin);
            self.found.note(&key);
            batch.insert(key, serde_json::to_vec(link)?);
            if link.proven {
                self.sources.insert(key::source(digest, origin), source_value(link))?;
            }
        }
        Ok(self.links.apply_batch(batch)?)
    }

    /// The group's own links to these contents, each in the place of its digest.
    fn known_links(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &[Digest],
    ) -> Result<Vec<Option<Link>>, StoreError> {
        let look_up = |digest| read(self.links.get(key::link(digest, group, origin))?);
        self.by_database(|| digests.iter().map(look_up).collect()).unwrap_or_else(|| {
            let forgotten = index_file::is_forgotten(&self.groups, group);
            if forgotten {
                Ok(vec![None; digests.len()])
            } else {
                index_file::links(&self.groups, group, origin, digests)
            }
        })
    }

    /// What the database says, if it can be relied on.
    fn by_database<T>(&self, look_up: impl FnOnce() -> Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        if self.trust() == Trust::Checked { self.in_database(look_up).map(Ok) } else { None }
    }

    /// Whether any group may open this content; true, too, where that cannot be told.
    pub fn is_linked(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.by_database(|| Ok(self.links.scan_prefix(digest.as_bytes()).next().transpose()?.is_some()))
            .unwrap_or(Ok(true))
    }

    /// What a tag of this origin stands for, as far as anybody asked.
    pub fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let entry = self.by_database(|| read(self.tags.get(key::tag(origin, tag))?));
        let entry = entry.unwrap_or_else(|| self.newest_tag(origin, tag))?;
        self.database.settle();
        Ok(entry)
    }

    /// The same by the files.
    fn newest_tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let mut newest: Option<TagEntry> = None;
        for (_, file) in self.files_of_tag(origin, tag)? {
            if newest.is_none_or(|newest| newest.is_before(&file.entry)) {
                newest = Some(file.entry);
            }
        }
        Ok(newest)
    }

    /// What the groups that have pulled a tag have of it in their files.
    fn files_of_tag(&self, origin: &Origin, tag: &Tag) -> Result<Vec<(GroupId, TagFile)>, StoreError> {
        let mut files = Vec::new();
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            if let Some(file) = TagFile::read(&self.groups, group, origin, tag)?
                && !index_file::is_forgotten(&self.groups, group)
            {
                files.push((group, file));
            }
        }
        Ok(files)
    }

    /// Notes what a tag stands for, and that this group has pulled it.
    pub fn set_tag(&self, group: GroupId, origin: &Origin, tag: &Tag, entry: TagEntry) -> Result<(), StoreError> {
        let _nothing_is_taken_away = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let (tag_key, group_key) = (key::tag(origin, tag), key::group_tag(origin, tag, group));
        let value = serde_json::to_vec(&entry)?;
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        let again = self.by_database(|| self.confirm_tag(&tag_key, &group_key, &entry, &value));
        if let Some(Ok(true)) = again {
            self.database.settle();
            return Ok(());
        }
        self.check_room(BYTES_PER_TAG)?;
        TagFile { origin: origin.clone(), tag: tag.clone(), entry }.write(&self.groups, group)?;
        self.found.note(&group_key);
        let insert = || {
            self.group_tags.insert(group_key, value.as_slice())?;
            self.tags.insert(tag_key, value)?;
            Ok(())
        };
        self.in_database(|| self.database.change(insert));
        Ok(())
    }

    /// Notes when upstream last said the same of a tag, if that is all that is new: it may be lost, and upstream asked once more.
    /// Whatever else came in between may not.
    fn confirm_tag(
        &self,
        tag_key: &[u8],
        group_key: &[u8],
        entry: &TagEntry,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let (pulled, before) = (self.group_tags.get(group_key)?, self.tags.get(tag_key)?);
        let same = |known: Option<TagEntry>| known.is_some_and(|known| known.digest == entry.digest && !known.denied);
        let again = same(read(pulled)?) && same(read(before.clone())?);
        Ok(again && self.tags.compare_and_swap(tag_key, before, Some(value))?.is_ok())
    }

    /// Whether this group has pulled this tag, whatever it stood for then.
    pub fn has_tag(&self, group: GroupId, origin: &Origin, tag: &Tag) -> Result<bool, StoreError> {
        let has = self.by_database(|| Ok(self.group_tags.contains_key(key::group_tag(origin, tag, group))?));
        let has = has.unwrap_or_else(|| Ok(TagFile::read(&self.groups, group, origin, tag)?.is_some()))?;
        self.database.settle();
        Ok(has)
    }

    /// Notes that upstream now refuses this tag's repository: what it stood for is kept, but not to be served by it. On a full disk,
    /// which the database must not see, the files alone note it, and decide from then on.
    pub fn deny_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _nobody_adds = self.adding.write().unwrap_or_else(PoisonError::into_inner);
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
            // Where there is no space to deny it, it is forgotten, which needs none: upstream is asked the next time.
            if file.write(&self.groups, group).is_err() {
                denied = denied.and(TagFile::remove(&self.groups, group, origin, tag));
            }
        }
        denied
    }

    /// Forgets a tag that upstream no longer has, for every group.
    pub fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _nobody_adds = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let forget = || {
            self.database.check_writable()?;
            self.tags.remove(key::tag(origin, tag))?;
            for entry in self.group_tags.scan_prefix(key::tag(origin, tag)).keys() {
                self.group_tags.remove(entry?)?;
            }
            Ok(())
        };
        self.in_database(|| self.database.change(forget));
        let mut dropped = Ok(());
        for group in index_file::groups(&self.groups)? {
            dropped = dropped.and(TagFile::remove(&self.groups, group?, origin, tag));
        }
        dropped
    }

    /// What this group has pulled by tag.
    pub fn cached_tags(&self, group: GroupId) -> Result<Vec<CachedTag>, StoreError> {
        index_file::tags(&self.groups, group)?
            .map(|file| file.map(|TagFile { origin, tag, entry }| CachedTag { origin, tag, entry }))
            .collect()
    }

    /// The groups that have something cached, or once had.
    pub fn groups(&self) -> Result<Vec<GroupId>, StoreError> {
        index_file::groups(&self.groups)?.collect()
    }

    /// Forces everything to the disk. What is lost without it is found again in the small files.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.trust() == Trust::Broken { Ok(()) } else { self.database.flush() }
    }
}

impl Link {
    /// What is known of the length.
    pub fn expected(self) -> Expected {
        if self.proven {
            Expected { verified: self.size, claimed: None }
        } else {
            Expected { verified: None, claimed: self.size }
        }
    }

    /// What both together say. What upstream said of the content itself counts for more than what a manifest says of it.
    pub(super) fn and(self, other: &Self) -> Self {
        let (first, second) = if self.proven && !other.proven { (self, *other) } else { (*other, self) };
        Self { size: first.size.or(second.size), proven: self.proven || other.proven }
    }
}

impl TagEntry {
    /// Whether the other says something newer of the tag; a denial is newer than what it denies.
    fn is_before(&self, other: &Self) -> bool {
        (self.checked_at, self.denied) < (other.checked_at, other.denied)
    }
}

/// The length of what was given, if it is known.
fn source_value(link: &Link) -> Vec<u8> {
    link.size.map(|size| size.to_be_bytes().to_vec()).unwrap_or_default()
}

fn read<T: DeserializeOwned>(value: Option<sled::IVec>) -> Result<Option<T>, StoreError> {
    Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
}

fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.with_extension("damaged");
    let _none_before = fs::remove_dir_all(&aside).or_else(|_| fs::remove_file(&aside));
    Ok(fs::rename(folder, aside)?)
}

#[cfg(test)]
mod tests;
