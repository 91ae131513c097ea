//! Records of the stored files: length, number of reads and priority for eviction. They can be rebuilt from the files
//! themselves, apart from the numbers of reads.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::rebuild::Trust;
use super::{Index, StoreError};
use crate::domain::digest::Digest;
use crate::domain::eviction::{Age, Selection, Use};
use crate::store::embedded::reserve;
use crate::store::usage::{FileChange, FileKind, StoredFile, Usage};

/// Key of the [`Age`] of the cache.
const AGE: &[u8] = b"age";

/// Length of a record in bytes: kind, size, reads and priority.
const RECORD_BYTES: usize = 1 + 8 + 4 + 8;

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
                if let Some((kind, usage_of_file)) = decoded(&record?) {
                    usage.count(StoredFile { kind, size: usage_of_file.size });
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
        let age = self.age();
        self.in_database(|| {
            let mut batch = sled::Batch::default();
            for (digest, change) in &changes {
                match change {
                    FileChange::Removed => batch.remove(digest.as_bytes().as_slice()),
                    FileChange::Stored(file) => {
                        // The first read is the one for which it was stored.
                        let further = reads.get(digest).map_or(0, |reads| reads.saturating_sub(1));
                        let usage = age.read(age.stored(file.size), further);
                        batch.insert(digest.as_bytes().as_slice(), encoded(file.kind, usage));
                    }
                }
            }
            for (digest, reads) in reads.iter().filter(|(digest, _)| !changes.contains_key(*digest)) {
                let record = self.files.get(digest.as_bytes())?;
                if let Some((kind, before)) = record.as_deref().and_then(decoded) {
                    batch.insert(digest.as_bytes().as_slice(), encoded(kind, age.read(before, *reads)));
                }
            }
            Ok(self.files.apply_batch(batch)?)
        });
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
                if let (Some(digest), Some((kind, usage))) = (digest_of(&key), decoded(&record))
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

    /// Records a file that was found on the disk, unless it is known. Returns true if it was not.
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
        let added = self.in_database(|| {
            if usage.is_changing(digest) || self.files.get(digest.as_bytes())?.as_deref().and_then(decoded).is_some() {
                return Ok(false);
            }
            self.files.insert(digest.as_bytes(), encoded(file.kind, age.stored(file.size)))?;
            Ok(true)
        });
        let added = added == Some(true);
        if added {
            usage.count(file);
        }
        Ok(added)
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
                let known = digest_of(&key).zip(decoded(&record));
                Ok(known.map(|(digest, (kind, usage))| (digest, StoredFile { kind, size: usage.size })))
            };
            entries.map(file).filter_map(Result::transpose).collect::<Result<Vec<_>, StoreError>>()
        });
        Ok(files.unwrap_or_default())
    }

    /// Removes the record of a file that is not there, unless it has changed meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space. A record that cannot be removed is found again.
    pub fn lost_file(&self, usage: &Usage, digest: &Digest, file: StoredFile) -> Result<(), StoreError> {
        let _guard = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.may_record()? {
            return Ok(());
        }
        let removed = self.in_database(|| {
            if usage.is_changing(digest) { Ok(false) } else { Ok(self.files.remove(digest.as_bytes())?.is_some()) }
        });
        if removed == Some(true) {
            usage.uncount(file);
        }
        Ok(())
    }

    /// Returns true if there is space for records: sled needs some to start again. The cache leaves more than this free.
    fn may_record(&self) -> Result<bool, StoreError> {
        let enough = || self.database.has_space(reserve::BYTES + reserve::MIN_FREE_BYTES / 2);
        Ok(self.trust() == Trust::Broken || enough()?)
    }

    fn age(&self) -> Age {
        let age = self.in_database(|| Ok(self.database.get(AGE)?)).flatten();
        Age(age.and_then(|age| Some(f64::from_be_bytes(age.as_ref().try_into().ok()?))).unwrap_or_default())
    }
}

fn encoded(kind: FileKind, usage: Use) -> Vec<u8> {
    let kind = match kind {
        FileKind::Manifest => 0,
        FileKind::Blob => 1,
    };
    let mut record = Vec::with_capacity(RECORD_BYTES);
    record.push(kind);
    record.extend(usage.size.to_be_bytes());
    record.extend(usage.reads.to_be_bytes());
    record.extend(usage.priority.to_be_bytes());
    record
}

/// Returns `None` for a record of another format, which is replaced when the file is found.
fn decoded(record: &[u8]) -> Option<(FileKind, Use)> {
    let record: &[u8; RECORD_BYTES] = record.try_into().ok()?;
    let kind = if record[0] == 0 { FileKind::Manifest } else { FileKind::Blob };
    let size = u64::from_be_bytes(record[1..9].try_into().ok()?);
    let reads = u32::from_be_bytes(record[9..13].try_into().ok()?);
    let priority = f64::from_be_bytes(record[13..21].try_into().ok()?);
    Some((kind, Use { size, reads, priority }))
}

fn digest_of(key: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(key.try_into().ok()?))
}
