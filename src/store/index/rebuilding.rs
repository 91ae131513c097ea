//! Putting the database of the index right by the small files, which are the truth: all of it where it is new or was damaged, and
//! whatever differs after each start. sled takes a damaged end of its log for one that was never written, and begins with what stands
//! before it: entries are missing then, and entries that were removed are there again. Until the comparison is done, the files alone
//! decide; and so they do, until the next start, where the database cannot be read.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::{Index, Link, LinkFile, StoreError, TagEntry, TagFile, index_file, key, read, source_value};
use crate::domain::id::GroupId;
use crate::store::damage::{self, Kind};

/// Stands in an index that was finished.
const COMPLETE: &[u8] = b"complete";

/// A file in the folder of a database that could not be read: it is set aside at the next start.
pub(super) const UNREADABLE: &str = "unreadable";

/// How far the database can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Trust {
    /// It was not compared with the files yet.
    Unchecked,
    /// It has what the files have.
    Checked,
    /// It cannot be read or written.
    Broken,
}

/// The keys that a comparison found in files, and those that were added meanwhile, by their hashes.
#[derive(Default)]
pub(super) struct Found {
    hasher: RandomState,
    keys: Mutex<Option<HashSet<u64>>>,
}

impl Found {
    /// Notes the key of an entry that has its file, if a comparison is under way.
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
    /// How far the database can be relied on now.
    pub(super) fn trust(&self) -> Trust {
        match self.trust.load(Ordering::Acquire) {
            0 => Trust::Unchecked,
            1 => Trust::Checked,
            _ => Trust::Broken,
        }
    }

    /// Reads or writes the database. Where it fails, or panics, as sled does on some damage, it is not used any more, and the files
    /// decide.
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
        damage::found(Kind::Index, &self.folder, error, "the small files are used; it is rebuilt at the next start");
        if let Err(error) = crate::store::durable::write_file(&self.folder.join(UNREADABLE), b"") {
            tracing::warn!(%error, "the index could not be marked as unreadable");
        }
    }

    pub(super) fn rebuild_unless_complete(&self) -> Result<(), StoreError> {
        if self.database.contains_key(COMPLETE)? {
            return Ok(());
        }
        for tree in [&self.links, &self.sources, &self.tags, &self.group_tags] {
            tree.clear()?;
        }
        self.put_right()?;
        self.database.insert(COMPLETE, b"")?;
        self.flush()?;
        self.trust.store(Trust::Checked as u8, Ordering::Release);
        Ok(())
    }

    /// Compares the database with the small files, once after a start, and puts right what differs. Returns how many entries did.
    /// May take seconds; meanwhile everything is looked up in the files. Blocks.
    pub fn check_against_files(&self) -> Result<usize, StoreError> {
        let _once = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.trust() != Trust::Unchecked {
            return Ok(0);
        }
        self.found.begin();
        let checked = self.in_database(|| {
            let differing = self.put_right()? + self.take_out()?;
            self.database.write_out()?;
            Ok(differing)
        });
        self.found.end();
        let Some(differing) = checked else { return Ok(0) };
        let unchecked = Trust::Unchecked as u8;
        let _broken_meanwhile =
            self.trust.compare_exchange(unchecked, Trust::Checked as u8, Ordering::AcqRel, Ordering::Acquire);
        if differing > 0 {
            damage::found(
                Kind::Index,
                &self.folder,
                format!("{differing} entries"),
                "they were put right by the files",
            );
        }
        Ok(differing)
    }

    /// Adds what the files have and the database has not, or has otherwise.
    fn put_right(&self) -> Result<usize, StoreError> {
        let mut differing = 0;
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            for path in index_file::link_files(&self.groups, group)? {
                differing += self.put_links_right(group, &path?)?;
            }
            for path in index_file::tag_files(&self.groups, group)? {
                differing += self.put_tag_right(group, &path?)?;
            }
        }
        Ok(differing)
    }

    fn put_links_right(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        // Nobody adds to the file and the database meanwhile.
        let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let mut differing = 0;
        for LinkFile { origin, digest, link } in index_file::tidy_links(path, group)? {
            let key = key::link(&digest, group, &origin);
            self.found.note(&key);
            let known: Option<Link> = read(self.links.get(&key)?).ok().flatten();
            // Files of earlier versions do not tell the length.
            let same = |known: Link| known == link || (known.proven == link.proven && link.size.is_none());
            if !known.is_some_and(same) {
                differing += 1;
                self.links.insert(key, serde_json::to_vec(&link)?)?;
            }
            if link.proven && self.sources.get(key::source(&digest, &origin))?.is_none() {
                self.sources.insert(key::source(&digest, &origin), source_value(&link))?;
            }
        }
        Ok(differing)
    }

    fn put_tag_right(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        let Some(TagFile { origin, tag, entry }) = index_file::read_tag(path, group)? else { return Ok(0) };
        let (tag_key, group_key) = (key::tag(&origin, &tag), key::group_tag(&origin, &tag, group));
        self.found.note(&group_key);
        let mut differing = 0;
        // The time may be newer than that in the file.
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

    /// Takes out what has no file: it was removed.
    fn take_out(&self) -> Result<usize, StoreError> {
        let mut differing = 0;
        for tree in [&self.links, &self.group_tags] {
            for entry in tree.iter().keys() {
                let entry = entry?;
                if self.found.has(&entry) {
                    continue;
                }
                let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
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
            let _alone = self.adding.write().unwrap_or_else(PoisonError::into_inner);
            if !has_group()? {
                differing += 1;
                self.tags.remove(&tag)?;
            }
        }
        Ok(differing)
    }
}
