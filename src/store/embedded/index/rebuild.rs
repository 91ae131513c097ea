//! Correction of the index's database by the small files, which are authoritative: a new or damaged database, or one
//! of another cache folder, is rebuilt, and after each start differing entries are corrected. sled takes a damaged end
//! of its log for one that was never written, and continues with the state before it: entries are missing then, and
//! removed entries are present again. Lookups use only the files until the comparison is done, and if the database
//! cannot be read, until the next start. The comparison is repeated while the service runs, at a bounded pace.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::links::source_value;
use super::trust::Trust;
use super::{ImageFile, Index, LinkFile, StoreError, image_files, index_file, key, link_files, read};
use crate::domain::id::GroupId;
use crate::store::cache_id::CacheFolder;
use crate::store::damage::{self, Kind};
use crate::store::link::{Link, TagEntry};

/// Key that marks a database that was built completely.
pub(super) const COMPLETE: &[u8] = b"complete";

impl Index {
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
        self.add_missing(&mut || true)?;
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
    /// Fails if a file cannot be read because the process lacks open files or memory; the next call compares again. A
    /// failure of the database is logged, and it is not used any more.
    pub fn check_against_files(&self) -> Result<usize, StoreError> {
        // A repeated comparison, which is slow, keeps nobody waiting.
        if self.trust() != Trust::Unchecked {
            return Ok(0);
        }
        let _once = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.trust() != Trust::Unchecked {
            return Ok(0);
        }
        let differing = self.compare(&mut || true)?;
        let unchecked = Trust::Unchecked as u8;
        // A database that has failed since the comparison stays untrusted.
        let _ = self.trust.compare_exchange(unchecked, Trust::Checked as u8, Ordering::AcqRel, Ordering::Acquire);
        Ok(differing)
    }

    /// Compares the database with the small files once more, while it is used, and corrects differing entries. Returns
    /// their number. `pace` is called before each file, and returns false to stop. Blocks.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::check_against_files`] does.
    pub fn check_again(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        let _once = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.trust() == Trust::Checked { self.compare(pace) } else { Ok(0) }
    }

    /// Compares the database with the files and corrects it. Returns the number of differing entries.
    fn compare(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        self.found.begin();
        let compared = self.add_missing(pace).and_then(|added| match added {
            Some(added) => Ok(added + self.or_fail(|| self.remove_surplus())?),
            // What was not compared must not count as surplus.
            None => Ok(0),
        });
        self.found.end();
        let differing = match compared {
            Err(_) if self.trust() == Trust::Broken => return Ok(0),
            compared => compared?,
        };
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

    /// Adds entries that are missing in the database or differ from the files. Returns their number; `None` if `pace`,
    /// which is called before each file, has returned false.
    fn add_missing(&self, pace: &mut dyn FnMut() -> bool) -> Result<Option<usize>, StoreError> {
        let mut differing = 0;
        for group in index_file::groups(&self.groups)? {
            let group = group?;
            for path in link_files::paths(&self.groups, group)? {
                if !pace() {
                    return Ok(None);
                }
                differing += self.add_missing_links(group, &path?)?;
            }
            for path in image_files::paths(&self.groups, group)? {
                if !pace() {
                    return Ok(None);
                }
                differing += self.add_missing_image(group, &path?)?;
            }
        }
        self.or_fail(|| self.database.write_out())?;
        Ok(Some(differing))
    }

    fn add_missing_links(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        // No links are added meanwhile to the file or the database.
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_being_purged(group) {
            return Ok(0);
        }
        let links = link_files::tidy(path, group)?;
        self.or_fail(|| {
            let (mut differing, mut sources) = (Vec::new(), Vec::new());
            for file in &links {
                let LinkFile { origin, digest, link } = file;
                let key = key::link(digest, group, origin);
                self.found.note(&key);
                let known: Option<Link> = read(self.links.get(&key)?).ok().flatten();
                if known.is_some_and(|known| file.is_same(known)) {
                    sources.extend(link.is_granted().then_some((key::source(digest, origin), source_value(link))));
                    continue;
                }
                if known.is_some() {
                    // The totals count what the group holds.
                    self.forget_link(group, digest, &key)?;
                }
                differing.push((origin, (digest, *link)));
            }
            for of_origin in differing.chunk_by(|(one, _), (other, _)| one == other) {
                let links: Vec<_> = of_origin.iter().map(|(_, link)| *link).collect();
                of_origin.first().map_or(Ok(()), |(origin, _)| self.insert_links(group, origin, &links))?;
            }
            for (key, value) in sources {
                if !self.sources.contains_key(&key)? {
                    self.sources.insert(key, value)?;
                }
            }
            Ok(differing.len())
        })
    }

    fn add_missing_image(&self, group: GroupId, path: &Path) -> Result<usize, StoreError> {
        let _guard = self.adding.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_being_purged(group) {
            return Ok(0);
        }
        let read_file = image_files::read(path, group)?;
        let Some(file) = read_file.or_else(|| self.restore_image(group, path)) else { return Ok(0) };
        self.or_fail(|| {
            self.put_image(group, &file)?;
            let ImageFile { origin, tag: Some(tag), entry, pinned, .. } = &file else { return Ok(0) };
            let (tag_key, group_key) = (key::tag(origin, tag), key::group_tag(origin, tag, group));
            self.found.note(&group_key);
            let pulled: Option<TagEntry> = read(self.group_tags.get(&group_key)?).ok().flatten();
            // A pinned image outlives its tag, so that its file may be there without the tag.
            let may_lack = *pinned && pulled.is_none();
            if may_lack && self.trust() == Trust::Checked {
                return Ok(0);
            }
            let mut differs = false;
            // The database may have a newer time of confirmation, because such an update is not written to the file.
            if pulled.is_none_or(|pulled| pulled.digest != entry.digest) {
                differs = true;
                self.group_tags.insert(group_key, serde_json::to_vec(entry)?)?;
            }
            let newest: Option<TagEntry> = read(self.tags.get(&tag_key)?).ok().flatten();
            if newest.is_none_or(|newest| newest.is_before(entry)) {
                differs = true;
                self.tags.insert(tag_key, serde_json::to_vec(entry)?)?;
            }
            Ok(usize::from(differs && !may_lack))
        })
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
                if !self.found.has(&entry) && tree.contains_key(&entry)? {
                    differing += 1;
                    self.remove_entry(tree, &entry)?;
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
            if !has_group()? && self.tags.contains_key(&tag)? {
                differing += 1;
                self.tags.remove(&tag)?;
            }
        }
        Ok(differing)
    }

    /// Removes an entry, and counts it no more.
    fn remove_entry(&self, tree: &sled::Tree, key: &[u8]) -> Result<(), StoreError> {
        if let Some((digest, group)) = key::holder_of_link(key).filter(|_| tree.name() == self.links.name()) {
            return self.forget_link(group, &digest, key);
        }
        if let Some(image) = key::image_of(key).filter(|_| tree.name() == self.images.name()) {
            return self.forget_image(&image);
        }
        tree.remove(key)?;
        Ok(())
    }
}
