//! Records of the stored files: length, number of reads, priority for eviction, and time of the last read. They can be
//! rebuilt from the files themselves, apart from the reads.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::file_record::{self, FileRecord, decoded, digest_of, encoded, stored};
use super::trust::Trust;
use super::{Index, StoreError};
use crate::domain::digest::Digest;
use crate::domain::eviction::{Age, Selection, Use};
use crate::store::reserve;
use crate::store::usage::{FileChange, FileKind, StoredFile, Totals, Usage};

/// Key of the [`Age`] of the cache.
const AGE: &[u8] = b"age";

/// Maximum number of recounts of all files, where others are stored or removed meanwhile.
const MAX_RECOUNTS: usize = 3;

/// A file to evict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evictable {
    /// The digest.
    pub digest: Digest,
    /// The kind and length of the file.
    pub file: StoredFile,
    /// Its use.
    pub usage: Use,
}

impl Index {
    /// Adds the records of all files to the totals. To be called once, before any file is stored.
    pub(super) fn count_files(&self, usage: &Usage) {
        self.in_database(|| {
            for record in self.files.iter().values() {
                if let Some(file) = stored(&record?) {
                    usage.count(file);
                }
            }
            Ok(())
        });
    }

    /// Records files that were stored or removed, and the reads of others.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space. Where the database cannot be written, the records are
    /// rebuilt at the next start.
    pub fn record_files(&self, usage: &Usage, reads: &HashMap<Digest, u32>) -> Result<(), StoreError> {
        let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        // On a full disk the changes wait.
        if !self.may_record()? {
            return Ok(());
        }
        let changes = usage.take_changes();
        let (age, read_at) = (self.age(), Timestamp::now());
        self.in_database(|| {
            let mut batch = sled::Batch::default();
            for (digest, change) in &changes {
                match change {
                    FileChange::Removed => batch.remove(digest.as_bytes().as_slice()),
                    FileChange::Stored(file) => {
                        // The first read is the one for which it was stored.
                        let further = reads.get(digest).map_or(0, |reads| reads.saturating_sub(1));
                        let usage = age.read(age.stored(file.size), further);
                        let record = FileRecord { kind: file.kind, usage, read_at };
                        batch.insert(digest.as_bytes().as_slice(), encoded(record));
                    }
                }
                self.count_change(digest, *change)?;
            }
            for (digest, reads) in reads.iter().filter(|(digest, _)| !changes.contains_key(*digest)) {
                let record = self.files.get(digest.as_bytes())?;
                if let Some(before) = record.as_deref().and_then(decoded) {
                    let record = FileRecord { usage: age.read(before.usage, *reads), read_at, ..before };
                    batch.insert(digest.as_bytes().as_slice(), encoded(record));
                }
            }
            Ok(self.files.apply_batch(batch)?)
        });
        Ok(())
    }

    /// Adds a file to the totals of the groups that hold it, or subtracts it. To be called before its record is
    /// changed.
    fn count_change(&self, digest: &Digest, change: FileChange) -> Result<(), StoreError> {
        match (self.file(digest)?, change) {
            (None, FileChange::Stored(file)) => {
                self.holders(digest)?.into_iter().for_each(|group| self.totals.add(digest, group, file));
            }
            (Some(file), FileChange::Removed) => {
                self.holders(digest)?.into_iter().for_each(|group| self.totals.subtract(digest, group, file));
                self.summaries.remove(digest.as_bytes())?;
            }
            // It was removed and stored again since it was recorded, and had another length because it was damaged.
            (Some(before), FileChange::Stored(file)) if before != file => {
                for group in self.holders(digest)? {
                    self.totals.subtract(digest, group, before);
                    self.totals.add(digest, group, file);
                }
            }
            (Some(_), FileChange::Stored(_)) | (None, FileChange::Removed) => {}
        }
        Ok(())
    }

    /// Returns the files to evict so that this number of bytes becomes free; fewer if there are not as many. `keep`
    /// names files that stay.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns none.
    pub fn evictable(&self, bytes: u64, keep: impl Fn(&Digest) -> bool) -> Result<Vec<Evictable>, StoreError> {
        let mut selection = Selection::of(bytes);
        self.in_database(|| {
            for entry in &self.files {
                let (key, record) = entry?;
                if let (Some(digest), Some(FileRecord { kind, usage, .. })) = (digest_of(&key), decoded(&record))
                    && !keep(&digest)
                {
                    selection.consider(usage, (digest, kind));
                }
            }
            Ok(())
        });
        let evictable = |(usage, (digest, kind)): (Use, (Digest, FileKind))| Evictable {
            digest,
            file: StoredFile { kind, size: usage.size },
            usage,
        };
        Ok(selection.chosen().into_iter().map(evictable).collect())
    }

    /// Records that content of this priority was evicted: what is stored from now on is compared with it.
    ///
    /// # Errors
    ///
    /// Does not fail at present: an age that cannot be written is that of the last eviction before.
    pub fn evicted(&self, priority: f64) -> Result<(), StoreError> {
        let age = self.age().after(priority);
        self.in_database(|| Ok(self.database.insert(AGE, &age.0.to_be_bytes())?));
        Ok(())
    }

    /// Records a file that was found on the disk, unless it is known with this length. Returns true if it was not.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space. On a full disk nothing is recorded or counted.
    pub fn found_file(&self, usage: &Usage, digest: &Digest, file: StoredFile) -> Result<bool, StoreError> {
        let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let age = self.age();
        if !self.may_record()? {
            return Ok(false);
        }
        let found = self.in_database(|| {
            let before = self.files.get(digest.as_bytes())?.as_deref().and_then(decoded);
            // The same content can be a blob and a manifest; one of the two is recorded.
            let is_known = |before: FileRecord| before.kind != file.kind || before.usage.size == file.size;
            if usage.is_changing(digest) || before.is_some_and(is_known) {
                return Ok(None);
            }
            self.count_change(digest, FileChange::Removed)?;
            self.files.remove(digest.as_bytes())?;
            self.count_change(digest, FileChange::Stored(file))?;
            let new = || FileRecord { kind: file.kind, usage: age.stored(file.size), read_at: Timestamp::now() };
            let resized = |before: FileRecord| FileRecord { usage: Use { size: file.size, ..before.usage }, ..before };
            self.files.insert(digest.as_bytes(), encoded(before.map_or_else(new, resized)))?;
            Ok(Some(before))
        });
        let Some(before) = found.flatten() else { return Ok(false) };
        if let Some(FileRecord { kind, usage: Use { size, .. }, .. }) = before {
            usage.uncount(StoredFile { kind, size });
        }
        usage.count(file);
        Ok(true)
    }

    /// Compares the totals of the whole store with the records, and corrects them. Returns true if they differed. Reads
    /// all records.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, nothing is corrected.
    pub fn recount_files(&self, usage: &Usage) -> Result<bool, StoreError> {
        for _ in 0..MAX_RECOUNTS {
            let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
            let snapshot = usage.snapshot();
            let counted = self.in_database(|| {
                let mut totals = Totals::default();
                for entry in &self.files {
                    let (key, record) = entry?;
                    let is_changed = digest_of(&key).is_some_and(|digest| snapshot.1.contains_key(&digest));
                    stored(&record).filter(|_| !is_changed).into_iter().for_each(|file| totals.add(file));
                }
                Ok(totals)
            });
            let Some(mut totals) = counted else { return Ok(false) };
            for change in snapshot.1.values() {
                if let FileChange::Stored(file) = change {
                    totals.add(*file);
                }
            }
            if totals == snapshot.0 {
                return Ok(false);
            }
            if usage.correct(&snapshot, totals) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes entries that are made again from the files: what all tags stand for, the summaries of manifests, and
    /// records of files that cannot be decoded.
    pub fn forget(&self, tags: bool, summaries: bool, records: bool) {
        self.in_database(|| {
            if tags {
                self.tags.clear()?;
            }
            if summaries {
                self.summaries.clear()?;
            }
            for entry in self.files.iter().filter(|_| records) {
                let (key, record) = entry?;
                if digest_of(&key).is_none() || decoded(&record).is_none() {
                    self.files.remove(key)?;
                }
            }
            Ok(())
        });
    }

    /// Returns the time at which a file was last read, or stored; `None` if it was not recorded yet.
    pub fn last_read(&self, digest: &Digest) -> Option<Timestamp> {
        let record = || Ok(self.files.get(digest.as_bytes())?.as_deref().and_then(file_record::read_at));
        self.in_database(record).flatten()
    }

    /// Returns the records that the index has, in steps of `limit`, of the digests after `after`.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the database cannot be read, it returns none.
    pub fn files_after(&self, after: Option<Digest>, limit: usize) -> Result<Vec<(Digest, StoredFile)>, StoreError> {
        let from = after.map_or_else(Vec::new, |digest| [digest.as_bytes().as_slice(), b"\0"].concat());
        let files = self.in_database(|| {
            let entries = self.files.range(from..).take(limit);
            let file = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
                let (key, record) = entry?;
                Ok(digest_of(&key).zip(stored(&record)))
            };
            entries.map(file).filter_map(Result::transpose).collect::<Result<Vec<_>, StoreError>>()
        });
        Ok(files.unwrap_or_default())
    }

    /// Removes the record of a file that is not there, unless it has changed meanwhile. Returns true if there
    /// was a record.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space. A record that cannot be removed is found again.
    pub fn lost_file(&self, usage: &Usage, digest: &Digest, file: StoredFile) -> Result<bool, StoreError> {
        let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.may_record()? {
            return Ok(false);
        }
        let removed = self.in_database(|| {
            if usage.is_changing(digest) {
                return Ok(false);
            }
            self.count_change(digest, FileChange::Removed)?;
            Ok(self.files.remove(digest.as_bytes())?.is_some())
        });
        let removed = removed == Some(true);
        if removed {
            usage.uncount(file);
        }
        Ok(removed)
    }

    /// Returns true if there is space for records: sled needs some to start again. The cache leaves more than this
    /// free.
    pub(super) fn may_record(&self) -> Result<bool, StoreError> {
        let enough = || self.database.has_space(reserve::RESERVE_BYTES + reserve::MIN_FREE_BYTES / 2);
        Ok(self.trust() == Trust::Broken || enough()?)
    }

    fn age(&self) -> Age {
        let age = self.in_database(|| Ok(self.database.get(AGE)?)).flatten();
        Age(age.and_then(|age| Some(f64::from_be_bytes(age.as_ref().try_into().ok()?))).unwrap_or_default())
    }
}
