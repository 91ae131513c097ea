//! The database of identities in `identity/`: the records by key, and the [`Position`] of the last change, written
//! with that change. The records are a copy of those in the [journal](super::journal); times and addresses of last use
//! are stored only here, and so are the sums of [audit events](super::events).

mod events;

pub(super) use self::events::SizedEvent;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;
use sled::Batch;

use super::changes::{self, Entry, Position, Records};
use super::database::Database;
use super::event_key::is_key;
use crate::domain::directory::Directory;
use crate::domain::id::CredentialId;
use crate::domain::last_use::LastUse;
use crate::store::error::StoreError;

/// The open database. All methods block.
pub(super) struct RecordsDatabase {
    database: Database,
    records: sled::Tree,
    last_used: sled::Tree,
    /// Addresses of last use by credential.
    addresses: sled::Tree,
    /// Sums of refusals and sign-ins.
    sums: sled::Tree,
}

/// Last uses by credential.
pub(super) type LastUsed = HashMap<CredentialId, LastUse>;

/// Size of sled's cache in bytes.
const CACHE_BYTES: u64 = 8 << 20;
/// Maximum number of entries in one batch of many: a batch of 100,000 records takes 1 GB of memory.
const MAX_ENTRIES_PER_STEP: usize = 1000;
/// Key of the position in the tree of records. No record has this key.
const POSITION_KEY: &str = "position";

impl RecordsDatabase {
    /// Opens the database in this folder, creating an empty one if there is none. Fails if the disk is full or the
    /// database is damaged.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = Database::open(folder, CACHE_BYTES)?;
        let (records, last_used) = (database.open_tree("records")?, database.open_tree("last_used")?);
        let (addresses, sums) = (database.open_tree("last_used_addresses")?, database.open_tree("event_sums")?);
        Ok(Self { database, records, last_used, addresses, sums })
    }

    /// Returns the position of the last change; `None` if it was never written. Fails if the database is damaged.
    pub(super) fn position(&self) -> Result<Option<Position>, StoreError> {
        guarded(|| Ok(self.records.get(POSITION_KEY)?.map(|position| serde_json::from_slice(&position)).transpose()?))
    }

    /// Returns true if there are no records. Fails if the database is damaged.
    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        guarded(|| Ok(self.all().next().transpose()?.is_none()))
    }

    /// Returns all identities. Fails if the database or a record is damaged.
    pub(super) fn load(&self) -> Result<Directory, StoreError> {
        let records = self.all().filter(|entry| !matches!(entry, Ok((key, _)) if is_key(key)));
        let records = records.map(|entry| entry.and_then(|(key, value)| changes::parse(&key, &value)));
        Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
    }

    /// Returns all records and the events of changes as JSON text. Fails if the database is damaged.
    pub(super) fn texts(&self) -> Result<Records, StoreError> {
        let text = |(key, value): (String, sled::IVec)| {
            let text = String::from_utf8(value.to_vec()).map_err(|_| unreadable())?;
            Ok((key, RawValue::from_string(text)?))
        };
        guarded(|| self.all().map(|entry| entry.and_then(text)).collect())
    }

    /// Returns all records as JSON text. Fails if `end` is not the position of the last change in the database, or
    /// the database is damaged.
    pub(super) fn texts_at(&self, end: Position) -> Result<Records, StoreError> {
        if self.position()? == Some(end) {
            return self.texts();
        }
        Err(StoreError::Damaged("the database of identities does not have the last change".to_owned()))
    }

    /// Returns the entries that must be written to make the content of the database equal to `records`. Fails if
    /// the database is damaged.
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
    /// Fails if the disk fails.
    pub(super) fn apply(&self, entries: &[Entry], position: Position) -> Result<(), StoreError> {
        let mut batch = batch_of(entries);
        batch.insert(POSITION_KEY, serde_json::to_vec(&position)?);
        self.records.apply_batch(batch)?;
        self.database.flush()
    }

    /// Writes any number of entries in bounded memory. The position is written last: if the process is killed
    /// before, the next start repeats all of it. Fails if the disk is full or fails.
    pub(super) fn apply_in_steps(&self, entries: &[Entry], position: Position) -> Result<(), StoreError> {
        for step in entries.chunks(MAX_ENTRIES_PER_STEP) {
            self.database.check_writable()?;
            self.records.apply_batch(batch_of(step))?;
            self.database.write_out()?;
        }
        self.apply(&[], position)
    }

    /// Checks that a change may be written. Fails if the disk is full, or if an earlier write has failed.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.database.check_writable()
    }

    /// Forces everything to the disk. Fails if the disk fails.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }

    /// Simulates a full disk from now on.
    #[cfg(test)]
    pub(super) fn fill_up(&mut self) {
        self.database.fill_up();
    }

    /// Returns when and from where each credential was last used, as far as it was written. Addresses that cannot be
    /// read are left out. Fails if the database is damaged.
    pub(super) fn last_used(&self) -> Result<LastUsed, StoreError> {
        guarded(|| {
            let entries = self.last_used.iter().map(|entry| {
                let (key, value) = entry?;
                let damaged = || StoreError::Damaged("a time of last use cannot be read".to_owned());
                let id = std::str::from_utf8(&key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
                let seconds = value.as_ref().try_into().map(i64::from_be_bytes).map_err(|_| damaged())?;
                let at = Timestamp::from_second(seconds).map_err(|_| damaged())?;
                let addresses = self.addresses.get(&key)?.and_then(|value| serde_json::from_slice(&value).ok());
                Ok((id, LastUse { at, addresses: addresses.unwrap_or_default() }))
            });
            entries.collect()
        })
    }

    /// Records when and from where credentials were last used. Not forced to the disk: the loss of some minutes is
    /// harmless. Fails if the disk is full or fails.
    pub(super) fn note_last_used(
        &self,
        used: impl IntoIterator<Item = (CredentialId, LastUse)>,
    ) -> Result<(), StoreError> {
        let (mut times, mut addresses) = (Batch::default(), Batch::default());
        let mut anything = false;
        for (id, last_use) in used {
            let key = id.to_string();
            times.insert(key.as_bytes(), &last_use.at.as_second().to_be_bytes());
            if last_use.addresses.is_empty() {
                addresses.remove(key.as_bytes());
            } else {
                addresses.insert(key.as_bytes(), serde_json::to_vec(&last_use.addresses)?);
            }
            anything = true;
        }
        if anything {
            self.database.check_writable()?;
            self.last_used.apply_batch(times)?;
            self.addresses.apply_batch(addresses)?;
        }
        Ok(())
    }

    /// Deletes the last uses of these credentials. Fails if the disk is full or fails.
    pub(super) fn forget_last_used(&self, credentials: &[CredentialId]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for id in credentials {
            batch.remove(id.to_string().as_bytes());
        }
        self.database.check_writable()?;
        self.addresses.apply_batch(batch.clone())?;
        Ok(self.last_used.apply_batch(batch)?)
    }

    /// Returns all records, and the events of changes, with their keys.
    fn all(&self) -> impl Iterator<Item = Result<(String, sled::IVec), StoreError>> {
        let entries = self.records.iter().filter(|entry| !matches!(entry, Ok((key, _)) if *key == POSITION_KEY));
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

/// Runs a read. A panic becomes an error: sled panics on some kinds of damage that it finds only while reading.
fn guarded<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(unreadable()))
}

fn unreadable() -> StoreError {
    StoreError::Damaged("sled could not read its own files".to_owned())
}
