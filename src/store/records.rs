//! The database of identities in `identity/`: the records by key, and the [`Position`] of the last change, which is written with that
//! change. What it holds is a copy of what the [journal](super::journal) says; times of last use stand here alone.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;
use sled::Batch;

use super::changes::{self, Entry, Position, Records};
use super::database::Database;
use super::error::StoreError;
use crate::domain::directory::Directory;
use crate::domain::id::CredentialId;

/// The open database. Everything blocks.
pub(super) struct RecordsDatabase {
    database: Database,
    records: sled::Tree,
    last_used: sled::Tree,
}

/// Times of last use by credential.
pub(super) type LastUsed = HashMap<CredentialId, Timestamp>;

const CACHE_BYTES: u64 = 8 << 20;
/// A batch of 100,000 records takes 1 GB of memory.
const MAX_ENTRIES_PER_STEP: usize = 1000;
/// The key of the position among the records; no record has it.
const POSITION: &str = "position";

impl RecordsDatabase {
    /// Opens the database in this folder, making an empty one where there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = Database::open(folder, CACHE_BYTES)?;
        let (records, last_used) = (database.open_tree("records")?, database.open_tree("last_used")?);
        Ok(Self { database, records, last_used })
    }

    /// The position of the last change; none where it was never written.
    pub(super) fn position(&self) -> Result<Option<Position>, StoreError> {
        guarded(|| Ok(self.records.get(POSITION)?.map(|position| serde_json::from_slice(&position)).transpose()?))
    }

    /// Whether there is no record.
    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        guarded(|| Ok(self.all().next().transpose()?.is_none()))
    }

    /// Everything that is kept, as records.
    pub(super) fn load(&self) -> Result<Directory, StoreError> {
        let records = self.all().map(|entry| entry.and_then(|(key, value)| changes::parse(&key, &value)));
        Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
    }

    /// Everything that is kept, as text.
    pub(super) fn texts(&self) -> Result<Records, StoreError> {
        let text = |(key, value): (String, sled::IVec)| {
            let text = String::from_utf8(value.to_vec()).map_err(|_| unreadable())?;
            Ok((key, RawValue::from_string(text)?))
        };
        guarded(|| self.all().map(|entry| entry.and_then(text)).collect())
    }

    /// Everything that is kept, as text, if this is the position of the last change in it.
    pub(super) fn texts_at(&self, end: Position) -> Result<Records, StoreError> {
        if self.position()? == Some(end) {
            return self.texts();
        }
        Err(StoreError::Damaged("the database of identities does not have the last change".to_owned()))
    }

    /// What must be written so that exactly these records are kept.
    pub(super) fn difference(&self, records: &Records) -> Result<Vec<Entry>, StoreError> {
        guarded(|| {
            let (mut difference, mut same) = (Vec::new(), 0);
            for entry in self.all() {
                let (key, value) = entry?;
                match records.get(&key) {
                    Some(expected) if value == expected.get().as_bytes() => same += 1,
                    Some(_) => {}
                    None => difference.push(Entry { key, value: None }),
                }
            }
            if same < records.len() {
                for (key, expected) in records {
                    let is_kept = self.records.get(key)?.is_some_and(|value| value == expected.get().as_bytes());
                    if !is_kept {
                        difference.push(Entry { key: key.clone(), value: Some(expected.clone()) });
                    }
                }
            }
            Ok(difference)
        })
    }

    /// Writes these entries and the position after them, all or none. Once this returns, they are on the disk.
    pub(super) fn apply(&self, entries: &[Entry], position: Position) -> Result<(), StoreError> {
        let mut batch = batch_of(entries);
        batch.insert(POSITION, serde_json::to_vec(&position)?);
        self.records.apply_batch(batch)?;
        self.database.flush()
    }

    /// The same for any number of entries, with bounded memory: the position comes last, and a start that was killed before does all of
    /// it again.
    pub(super) fn apply_in_steps(&self, entries: &[Entry], position: Position) -> Result<(), StoreError> {
        for step in entries.chunks(MAX_ENTRIES_PER_STEP) {
            self.database.check_writable()?;
            self.records.apply_batch(batch_of(step))?;
            self.database.write_out()?;
        }
        self.apply(&[], position)
    }

    /// Whether something may be written now.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.database.check_writable()
    }

    /// Forces everything to the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }

    /// From now on as if the disk were full.
    #[cfg(test)]
    pub(super) fn fill_up(&mut self) {
        self.database.fill_up();
    }

    /// When each credential was last used, as far as that was written.
    pub(super) fn last_used(&self) -> Result<LastUsed, StoreError> {
        guarded(|| {
            let entries = self.last_used.iter().map(|entry| {
                let (key, value) = entry?;
                let damaged = || StoreError::Damaged("a time of last use cannot be read".to_owned());
                let id = std::str::from_utf8(&key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
                let seconds = value.as_ref().try_into().map(i64::from_be_bytes).map_err(|_| damaged())?;
                Ok((id, Timestamp::from_second(seconds).map_err(|_| damaged())?))
            });
            entries.collect()
        })
    }

    /// Notes when credentials were last used. Not forced to the disk: losing some minutes of it harms nobody.
    pub(super) fn note_last_used(
        &self,
        used: impl IntoIterator<Item = (CredentialId, Timestamp)>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut anything = false;
        for (id, at) in used {
            batch.insert(id.to_string().as_bytes(), &at.as_second().to_be_bytes());
            anything = true;
        }
        if anything {
            self.database.check_writable()?;
            self.last_used.apply_batch(batch)?;
        }
        Ok(())
    }

    /// Forgets when these credentials were last used.
    pub(super) fn forget_last_used(&self, credentials: &[CredentialId]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for id in credentials {
            batch.remove(id.to_string().as_bytes());
        }
        self.database.check_writable()?;
        Ok(self.last_used.apply_batch(batch)?)
    }

    /// All records with their keys.
    fn all(&self) -> impl Iterator<Item = Result<(String, sled::IVec), StoreError>> {
        let entries = self.records.iter().filter(|entry| !matches!(entry, Ok((key, _)) if *key == POSITION));
        entries.map(|entry| {
            let (key, value) = entry?;
            Ok((String::from_utf8(key.to_vec()).map_err(|_| unreadable())?, value))
        })
    }
}

fn batch_of(entries: &[Entry]) -> Batch {
    let mut batch = Batch::default();
    for Entry { key, value } in entries {
        match value {
            Some(value) => batch.insert(key.as_bytes(), value.get().as_bytes()),
            None => batch.remove(key.as_bytes()),
        }
    }
    batch
}

/// sled panics on some damage that it finds only when it reads.
fn guarded<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(unreadable()))
}

fn unreadable() -> StoreError {
    StoreError::Damaged("sled could not read its own files".to_owned())
}
