//! Correction of the index's database by the small files, which are authoritative: a new or damaged database, or one
//! of another cache folder, is rebuilt, and after each start differing entries are corrected. sled takes a damaged end
//! of its log for one that was never written, and continues with the state before it: entries are missing then, and
//! removed entries are present again. Lookups use only the files until the comparison is done, and if the database
//! cannot be read, until the next start.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::links::source_value;
use super::{ImageFile, Index, LinkFile, StoreError, image_files, index_file, key, link_files, read};
use crate::domain::id::GroupId;
use crate::store::cache_id::CacheFolder;
use crate::store::damage::{self, Kind};
use crate::store::link::{Link, TagEntry};

/// Key that marks a database that was built completely.
const COMPLETE: &[u8] = b"complete";

/// Name of a file that marks the database in its folder as unreadable: the next start moves the folder aside.
pub(super) const UNREADABLE: &str = "unreadable";

/// Degree to which the database can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Trust {
    /// The database was not compared with the files yet.
    Unchecked,
    /// The database agrees with the files.
    Checked,
    /// The database cannot be read or written.
    Broken,
}

/// Hashes of the keys that a comparison has found in the files, and of those that were added meanwhile. `None`
/// while no comparison runs.
#[derive(Default)]
pub(super) struct Found {
    hasher: RandomState,
    keys: Mutex<Option<HashSet<u64>>>,
}

impl Found {
    /// Records the key of an entry that has a file, if a comparison is running.
    pub(super) fn note(&self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        if let Some(keys) = &mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner) {
            keys.insert(hash);
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().is_none_or(|keys| keys.contains(&self.hasher.hash_one(key)))
    }

    fn begin(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(HashSet::new());
    }

    fn end(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Index {
    /// Returns the present trust in the database.
    pub(super) fn trust(&self) -> Trust {
        match self.trust.load(Ordering::Acquire) {
            0 => Trust::Unchecked,
            1 => Trust::Checked,
            _ => Trust::Broken,
        }
    }

    /// Reads or writes the database. If that fails or panics, as sled does on some kinds of damage, returns `None`,
    /// and the database is not used any more until the next start.
    pub(super) fn in_database<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        if self.trust() == Trust::Broken {
            return None;
        }
        let done = catch_unwind(AssertUnwindSafe(work));
        let error = match done {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Damaged("sled could not read its own files".to_owned()),
        };
        self.give_up(&error);
        None
    }

    fn give_up(&self, error: &StoreError) {
        if self.trust.swap(Trust::Broken as u8, Ordering::AcqRel) == Trust::Broken as u8 {
            return;
        }
        damage::found(
            Kind::Index,
            &self.folder,
            error,
            "the small files are used until it is rebuilt at the next start",
        );
        if let Err(error) = crate::store::atomic_file::write_file(&self.folder.join(UNREADABLE), b"") {
            tracing::warn!(%error, "the index could not be marked as unreadable");
        }
    }

    /// Rebuilds the database, unless it was built completely, and from this cache folder.
    pub(super) fn rebuild_unless_complete(&self, cache: &CacheFolder) -> Result<(), StoreError> {
        if self.database.contains_key(COMPLETE)? {
            if !cache.is_other() {
                cache.remember();
                return Ok(());
            }
            // On the disk before anything is removed: a start after a crash then rebuilds it, too.
            self.database.remove(COMPLETE)?;
            self.flush()?;
        }
        let (images, files) = ([&self.images, &self.pins], [&self.files, &self.summaries]);
        for tree in [&self.links, &self.sources, &self.tags, &self.group_tags].into_iter().chain(images).chain(files) {
            tree.clear()?;
        }
        self.add_missing()?;
        cache.remember();
        self.database.insert(COMPLETE, b"")?;
        self.flush()?;
        self.trust.store(Trust::Checked as u8, Ordering::Release);
        Ok(())
    }

    /// Compares the database with the small files, once after a start, and corrects differing entries. Returns
    /// their number. May take seconds; lookups use the files meanwhile. Blocks.
    ///
    /// # Errors
    ///
    /// Does not fail at present: a failure is logged, and the database is not used any more.
    pub fn check_against_files(&self) -> Result<usize, StoreError> {
        let _once = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.trust() != Trust::Unchecked {
            return Ok(0);
        }
        self.found.begin();
        let checked = self.in_database(|| {
            let differing = self.add_missing()? + self.remove_surplus()?;
            self.database.write_out()?;
            Ok(differing)
        });
        self.found.end();
        let Some(differing) = checked else { return Ok(0) };
        let unchecked = Trust::Unchecked as u8;
        // A database that has failed since the comparison stays untrusted.
        let _ = self.trust.compare_exchange(unchecked, Trust::Checked as u8, Ordering::AcqRel, Ordering::Acquire);
        if differing > 0 {
            damage::found(
                Kind::Index,
                &self.folder,
                format!("{differing} entries"),
                "they were corrected from the files",
            );
        }
        Ok(differing)
    }

    /// Adds entries that are missing in the database or differ from the files. Returns their number.
    fn add_missing(&self) -> Result<usize, StoreError> {
        let mut differing = 0;
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            for path in link_files::paths(&self.groups, group)? {
                differing += self.add_missing_links(group, &path?)?;
            }
            for path in image_files::paths(&self.groups, group)? {
                differing += self.add_missing_image(group, &path?)?;
            }
        }
        Ok(differing)
    }

    fn add_missing_links(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        // No links are added meanwhile to the file or the database.
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let mut differing = 0;
        for LinkFile { origin, digest, link } in link_files::tidy(path, group)? {
            let key = key::link(&digest, group, &origin);
            self.found.note(&key);
            let known: Option<Link> = read(self.links.get(&key)?).ok().flatten();
            // Files of earlier versions do not state the length.
            let same = |known: Link| known == link || (known.state == link.state && link.size.is_none());
            if !known.is_some_and(same) {
                differing += 1;
                self.links.insert(key, serde_json::to_vec(&link)?)?;
            }
            if link.is_granted() && self.sources.get(key::source(&digest, &origin))?.is_none() {
                self.sources.insert(key::source(&digest, &origin), source_value(&link))?;
            }
        }
        Ok(differing)
    }

    fn add_missing_image(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = image_files::read(path, group)? else { return Ok(0) };
        self.put_image(group, &file)?;
        let ImageFile { origin, tag: Some(tag), entry, .. } = file else { return Ok(0) };
        let (tag_key, group_key) = (key::tag(&origin, &tag), key::group_tag(&origin, &tag, group));
        self.found.note(&group_key);
        let mut differing = 0;
        // The database may have a newer time of confirmation, because such an update is not written to the file.
        let same = |known: &TagEntry| known.digest == entry.digest;
        if !read(self.group_tags.get(&group_key)?).ok().flatten().is_some_and(|known| same(&known)) {
            differing = 1;
            self.group_tags.insert(group_key, serde_json::to_vec(&entry)?)?;
        }
        let newest: Option<TagEntry> = read(self.tags.get(&tag_key)?).ok().flatten();
        if newest.is_none_or(|newest| newest.is_before(&entry)) {
            differing = 1;
            self.tags.insert(tag_key, serde_json::to_vec(&entry)?)?;
        }
        Ok(differing)
    }

    /// Removes entries that have no file, because they were removed before. Returns their number.
    fn remove_surplus(&self) -> Result<usize, StoreError> {
        let mut differing = 0;
        for tree in [&self.links, &self.group_tags, &self.images, &self.pins] {
            for entry in tree.iter().keys() {
                let entry = entry?;
                if self.found.has(&entry) {
                    continue;
                }
                let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
                if !self.found.has(&entry) {
                    differing += 1;
                    tree.remove(&entry)?;
                }
            }
        }
        for entry in self.tags.iter().keys() {
            let tag = entry?;
            let has_group = || Ok::<_, StoreError>(self.group_tags.scan_prefix(&tag).next().transpose()?.is_some());
            if has_group()? {
                continue;
            }
            let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
            if !has_group()? {
                differing += 1;
                self.tags.remove(&tag)?;
            }
        }
        Ok(differing)
    }
}
