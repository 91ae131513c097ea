//! The index of the cache: which group may read which content (links), and which content a tag last referred to.
//! The index is kept in sled for speed, and each entry also in a small file. The files are authoritative: a lost
//! database is rebuilt from them, a damaged one is corrected by them, and until then lookups read the files.

mod files;
mod holdings;
mod purge;
mod rebuild;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::sync::{Mutex, PoisonError, RwLock};

use serde::de::DeserializeOwned;

pub use self::files::Evictable;
use self::rebuild::{Found, Trust, UNREADABLE};
use super::database::Database;
use super::index_file::{self, LinkFile, TagFile};
use super::index_key as key;
use super::reserve;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Tag;
use crate::store::cache_id::CacheFolder;
use crate::store::damage::{self, Kind};
use crate::store::error::{OpenError, StoreError};
use crate::store::free_space::FreeSpace;
use crate::store::link::{Link, TagEntry};
use crate::store::usage::Usage;

/// The open index. All methods block.
pub struct Index {
    database: Database,
    links: sled::Tree,
    /// The accounts of upstreams to which upstream was seen to serve some content.
    sources: sled::Tree,
    tags: sled::Tree,
    group_tags: sled::Tree,
    /// Records of the stored files, by digest.
    files: sled::Tree,
    /// Held while records of files are changed.
    recording: Mutex<()>,
    /// The folder of the small files.
    groups: PathBuf,
    /// Disk space for the small files and for the database.
    free_spaces: Vec<FreeSpace>,
    /// The folder of the database.
    folder: PathBuf,
    /// A [`Trust`], as a number.
    trust: AtomicU8,
    found: Found,
    /// Held for reading while entries are added, and for writing while an entry is corrected or removed.
    adding: RwLock<()>,
    /// Held during the comparison with the files, so that only one runs at a time.
    checking: Mutex<()>,
}

/// A tag that a group has pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedTag {
    /// The origin of the image.
    pub origin: Origin,
    /// The tag.
    pub tag: Tag,
    /// The content that the tag referred to when this group pulled it, and the time of that pull.
    pub entry: TagEntry,
}

/// Size of sled's cache in bytes.
const CACHE_BYTES: u64 = 16 << 20;

/// Disk space in bytes that a link requires, in its file and in the database together.
const BYTES_PER_LINK: usize = 1 << 10;
/// Disk space in bytes that a tag requires, in its file and in the database together.
const BYTES_PER_TAG: usize = 8 << 10;

impl Index {
    /// Opens the index below the data folder. A database that is damaged or cannot be read is moved aside. A new or
    /// incomplete database, and one of another cache folder, is rebuilt from the small files below the cache folder.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the database can neither be opened nor rebuilt.
    pub fn open(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        let (folder, groups) = (data.join("index"), cache.join("groups"));
        let fail = |error: StoreError| OpenError::of(&folder, error, data, reserve::MIN_FREE_BYTES);
        let cache = CacheFolder::identify(data, cache)?;
        match Self::open_complete(&folder, groups.clone(), &cache) {
            Err(error @ (StoreError::Damaged(_) | StoreError::Io(_))) => {
                damage::found(Kind::Index, &folder, error, "it is moved aside and rebuilt from the small files");
                set_aside(&folder).map_err(fail)?;
                Self::open_complete(&folder, groups, &cache).map_err(fail)
            }
            opened => opened.map_err(fail),
        }
    }

    /// Returns the same index, after adding the records of all stored files to the totals.
    pub fn counted_in(self, usage: &Usage) -> Self {
        self.count_files(usage);
        self
    }

    /// Returns the same index, limited to this disk space.
    pub fn within(mut self, free_spaces: Vec<FreeSpace>) -> Self {
        self.free_spaces = free_spaces;
        self
    }

    /// Checks that this number of bytes may be added. To be called before each addition. Removals and denials may
    /// exceed the limit.
    fn check_space(&self, bytes: usize) -> Result<(), StoreError> {
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        self.free_spaces.iter().try_for_each(|free_space| free_space.check(bytes as u64))
    }

    fn open_complete(folder: &Path, groups: PathBuf, cache: &CacheFolder) -> Result<Self, StoreError> {
        if folder.join(UNREADABLE).exists() {
            return Err(StoreError::Damaged("it could not be read".to_owned()));
        }
        // sled panics on some kinds of damage, also after the database was opened.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let index = Self::open_trees(folder, groups)?;
            index.rebuild_unless_complete(cache)?;
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
        let files = database.open_tree("files")?;
        Ok(Self {
            database,
            links,
            sources,
            tags,
            group_tags,
            files,
            recording: Mutex::default(),
            groups,
            free_spaces: Vec::new(),
            folder: folder.to_owned(),
            trust: AtomicU8::default(),
            found: Found::default(),
            adding: RwLock::default(),
            checking: Mutex::default(),
        })
    }

    /// Returns the group's link to this content from this origin. A referenced link counts as granted if upstream
    /// has served the content to the same account in another repository or for another group.
    ///
    /// # Errors
    ///
    /// Fails if the link's file cannot be read because the process lacks open files or memory.
    pub fn link(&self, group: GroupId, origin: &Origin, digest: &Digest) -> Result<Option<Link>, StoreError> {
        let known = self.known_links(group, origin, std::slice::from_ref(digest))?.pop().flatten();
        let Some(link) = known else { return Ok(None) };
        let source = || Ok(self.sources.get(key::source(digest, origin))?);
        let source = if link.is_granted() { None } else { self.in_database(source).flatten() };
        self.database.settle();
        Ok(Some(match source {
            // The size in a referenced link is only the manifest's claim.
            Some(size) => Link::granted(size.as_ref().try_into().ok().map(u64::from_be_bytes)),
            None => link,
        }))
    }

    /// Adds links of the group. They are merged with the links that are known already, so that a granted link stays
    /// granted.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the links' file cannot be read or written.
    pub fn add_links(&self, group: GroupId, origin: &Origin, links: &[(Digest, Link)]) -> Result<(), StoreError> {
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let mut added = Vec::new();
        let digests: Vec<Digest> = links.iter().map(|(digest, _)| *digest).collect();
        let known = self.known_links(group, origin, &digests)?;
        for ((digest, link), known) in links.iter().zip(known) {
            let link = known.map_or(*link, |known| known.merge(link));
            if known != Some(link) {
                added.push((digest, link));
            }
        }
        if added.is_empty() {
            self.database.settle();
            return Ok(());
        }
        self.check_space(added.len() * BYTES_PER_LINK)?;
        index_file::append_links(&self.groups, group, origin, &added)?;
        // The files are written first: they keep the links even if the database fails.
        self.in_database(|| self.database.change(|| self.insert_links(group, origin, &added)));
        Ok(())
    }

    fn insert_links(&self, group: GroupId, origin: &Origin, links: &[(&Digest, Link)]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (digest, link) in links {
            let key = key::link(digest, group, origin);
            self.found.note(&key);
            batch.insert(key, serde_json::to_vec(link)?);
            if link.is_granted() {
                self.sources.insert(key::source(digest, origin), source_value(link))?;
            }
        }
        Ok(self.links.apply_batch(batch)?)
    }

    /// Returns the group's own links to these contents, in the order of `digests`.
    fn known_links(
        &self,
        group: GroupId,
        origin: &Origin,
        digests: &[Digest],
    ) -> Result<Vec<Option<Link>>, StoreError> {
        let look_up = |digest| read(self.links.get(key::link(digest, group, origin))?);
        self.if_trusted(|| digests.iter().map(look_up).collect()).unwrap_or_else(|| {
            let forgotten = index_file::is_forgotten(&self.groups, group);
            if forgotten {
                Ok(vec![None; digests.len()])
            } else {
                index_file::links(&self.groups, group, origin, digests)
            }
        })
    }

    /// Looks something up in the database; `None` if the database cannot be trusted.
    fn if_trusted<T>(&self, look_up: impl FnOnce() -> Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        if self.trust() == Trust::Checked { self.in_database(look_up).map(Ok) } else { None }
    }

    /// Returns true if any group has a link to this content, and also if that is unknown.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns true.
    pub fn is_linked(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.if_trusted(|| Ok(self.links.scan_prefix(digest.as_bytes()).next().transpose()?.is_some()))
            .unwrap_or(Ok(true))
    }

    /// Returns the content that a tag of this origin refers to, as last confirmed by upstream.
    ///
    /// # Errors
    ///
    /// Fails if a file of the tag cannot be read because the process lacks open files or memory.
    pub fn tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let entry = self.if_trusted(|| read(self.tags.get(key::tag(origin, tag))?));
        let entry = entry.unwrap_or_else(|| self.newest_tag(origin, tag))?;
        self.database.settle();
        Ok(entry)
    }

    /// Returns the newest entry of a tag in the small files.
    fn newest_tag(&self, origin: &Origin, tag: &Tag) -> Result<Option<TagEntry>, StoreError> {
        let mut newest: Option<TagEntry> = None;
        for (_, file) in self.files_of_tag(origin, tag)? {
            if newest.is_none_or(|newest| newest.is_before(&file.entry)) {
                newest = Some(file.entry);
            }
        }
        Ok(newest)
    }

    /// Returns the files of this tag from all groups that have pulled it.
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

    /// Records the content that a tag refers to, and that this group has pulled it.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the tag's file cannot be written.
    pub fn set_tag(&self, group: GroupId, origin: &Origin, tag: &Tag, entry: TagEntry) -> Result<(), StoreError> {
        let _guard = self.adding.read().unwrap_or_else(PoisonError::into_inner);
        let (tag_key, group_key) = (key::tag(origin, tag), key::group_tag(origin, tag, group));
        let value = serde_json::to_vec(&entry)?;
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        let again = self.if_trusted(|| self.confirm_tag(&tag_key, &group_key, &entry, &value));
        if let Some(Ok(true)) = again {
            self.database.settle();
            return Ok(());
        }
        self.check_space(BYTES_PER_TAG)?;
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

    /// Updates the confirmation time of a tag if nothing else has changed, and returns whether that was done. This
    /// update alone need not be durable: if it is lost, upstream is requested once more.
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

    /// Returns true if this group has pulled this tag, whatever it referred to then.
    ///
    /// # Errors
    ///
    /// Fails if the tag's file cannot be read because the process lacks open files or memory.
    pub fn has_tag(&self, group: GroupId, origin: &Origin, tag: &Tag) -> Result<bool, StoreError> {
        let has = self.if_trusted(|| Ok(self.group_tags.contains_key(key::group_tag(origin, tag, group))?));
        let has = has.unwrap_or_else(|| Ok(TagFile::read(&self.groups, group, origin, tag)?.is_some()))?;
        self.database.settle();
        Ok(has)
    }

    /// Records that upstream now refuses the repository of this tag: its entry is kept, but must not be served any
    /// more. On a full disk, to which the database must not write, only the files record it and are authoritative
    /// from then on.
    ///
    /// # Errors
    ///
    /// Fails if the denial can neither be recorded nor the tag be removed.
    pub fn deny_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
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
            // On a full disk the tag is removed instead, which needs no space: the next pull makes a request to
            // upstream.
            if file.write(&self.groups, group).is_err() {
                denied = denied.and(TagFile::remove(&self.groups, group, origin, tag));
            }
        }
        denied
    }

    /// Removes a tag that upstream no longer has, for all groups.
    ///
    /// # Errors
    ///
    /// Fails if a file of the tag cannot be removed.
    pub fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
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

    /// Returns the tags that this group has pulled.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read because the process lacks open files or memory.
    pub fn cached_tags(&self, group: GroupId) -> Result<Vec<CachedTag>, StoreError> {
        index_file::tags(&self.groups, group)?
            .map(|file| file.map(|TagFile { origin, tag, entry }| CachedTag { origin, tag, entry }))
            .collect()
    }

    /// Returns the groups that have files in the cache, or had some before.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be read because the process lacks open files or memory.
    pub fn groups(&self) -> Result<Vec<GroupId>, StoreError> {
        index_file::groups(&self.groups)?.collect()
    }

    /// Forces everything to the disk. Without it, lost entries are recovered from the small files.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.trust() == Trust::Broken { Ok(()) } else { self.database.flush() }
    }
}

/// Encodes the length of the content; empty if it is unknown.
fn source_value(link: &Link) -> Vec<u8> {
    link.size.map(|size| size.to_be_bytes().to_vec()).unwrap_or_default()
}

fn read<T: DeserializeOwned>(value: Option<sled::IVec>) -> Result<Option<T>, StoreError> {
    Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
}

fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.with_extension("damaged");
    // Usually there is none from an earlier failure.
    let _ = fs::remove_dir_all(&aside).or_else(|_| fs::remove_file(&aside));
    Ok(fs::rename(folder, aside)?)
}

#[cfg(test)]
mod tests;
