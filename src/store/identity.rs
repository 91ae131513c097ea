//! Users, groups, members and tokens, kept in sled. A change is written as a whole, and is on the disk before it is
//! acknowledged. Nothing else holds them: an export beside the database is the backup.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sled::Batch;

use super::database::Database;
use super::error::{OpenError, StoreError};
use super::export;
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::id::CredentialId;

/// The open store of identities. Everything blocks.
pub struct IdentityStore {
    database: Database,
    records: sled::Tree,
    last_used: sled::Tree,
    export: PathBuf,
}

const CACHE_BYTES: u64 = 8 << 20;

impl IdentityStore {
    /// Opens the store below the folder of all data, making an empty one where there is none. Refuses one that is damaged,
    /// or empty beside an export: sled itself begins anew where its file was cut to nothing.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let folder = data.join("identity");
        let export = data.join("identity.jsonl");
        let refuse = |error: StoreError| OpenError::Identities {
            folder: folder.clone(),
            data: data.to_owned(),
            export: export.clone(),
            reason: error.to_string(),
        };
        let database = Database::open(&folder, CACHE_BYTES).map_err(refuse)?;
        let tree = |name| database.open_tree(name).map_err(|error| refuse(error.into()));
        let (records, last_used) = (tree("records")?, tree("last_used")?);
        if records.is_empty() && export.exists() {
            return Err(refuse(StoreError::Damaged("it is empty, and an export says that it was not".to_owned())));
        }
        Ok(Self { records, last_used, database, export: export.clone() })
    }

    /// Everything that is kept.
    pub fn load(&self) -> Result<Directory, StoreError> {
        let records = self.records.iter().values();
        let records = records.map(|value| Ok(serde_json::from_slice::<Record>(&value?)?));
        Ok(Directory::from_records(records.collect::<Result<Vec<_>, StoreError>>()?))
    }

    /// Writes a change. Once this returns, all of it is on the disk; if it fails, the change may or may not be there after
    /// the next start, but never half of it.
    pub fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for write in writes {
            match write {
                Write::Put(record) => batch.insert(record.key().to_string().as_bytes(), serde_json::to_vec(record)?),
                Write::Remove(key) => batch.remove(key.to_string().as_bytes()),
            }
        }
        self.records.apply_batch(batch)?;
        self.database.flush()
    }

    /// When each credential was last used, as far as that was written.
    pub fn last_used(&self) -> Result<HashMap<CredentialId, Timestamp>, StoreError> {
        let entries = self.last_used.iter().map(|entry| {
            let (key, value) = entry?;
            let damaged = || StoreError::Damaged("a time of last use cannot be read".to_owned());
            let id = std::str::from_utf8(&key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
            let seconds = value.as_ref().try_into().map(i64::from_be_bytes).map_err(|_| damaged())?;
            Ok((id, Timestamp::from_second(seconds).map_err(|_| damaged())?))
        });
        entries.collect()
    }

    /// Notes when credentials were last used. Not forced to the disk: losing some minutes of it harms nobody.
    pub fn note_last_used(&self, used: impl IntoIterator<Item = (CredentialId, Timestamp)>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (id, at) in used {
            batch.insert(id.to_string().as_bytes(), &at.as_second().to_be_bytes());
        }
        self.last_used.apply_batch(batch)?;
        Ok(())
    }

    /// Writes the export beside the database, replacing the one before.
    pub fn write_export(&self, directory: &Directory) -> Result<(), StoreError> {
        export::write(&self.export, directory)
    }

    /// Forces everything to the disk, as before the process ends.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::directory::{RecordKey, Service};

    fn service(last_user: u64) -> Record {
        Record::Service(Service { last_user, ..Service::default() })
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let data = tempfile::tempdir().unwrap();
        IdentityStore::open(data.path()).unwrap().commit(&[Write::Put(service(7))]).unwrap();
        let store = IdentityStore::open(data.path()).unwrap();
        assert_eq!(store.load().unwrap().service().last_user, 7);
        store.commit(&[Write::Remove(RecordKey::Service)]).unwrap();
        assert_eq!(store.load().unwrap().service().last_user, 0);
    }

    #[test]
    fn times_of_last_use_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(data.path()).unwrap();
        let (id, at) = (CredentialId::from_random([1; 16]), Timestamp::from_second(1_000).unwrap());
        store.note_last_used([(id, at)]).unwrap();
        assert_eq!(store.last_used().unwrap(), HashMap::from([(id, at)]));
    }

    #[test]
    fn a_store_that_lost_its_content_is_refused_with_the_way_out() {
        let data = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(data.path()).unwrap();
        store.commit(&[Write::Put(service(7))]).unwrap();
        store.write_export(&store.load().unwrap()).unwrap();
        drop(store);
        assert!(IdentityStore::open(data.path()).is_ok());
        std::fs::remove_dir_all(data.path().join("identity")).unwrap();
        let refusal = IdentityStore::open(data.path()).err().unwrap().to_string();
        assert!(refusal.contains("admin restore"), "{refusal}");
    }
}
