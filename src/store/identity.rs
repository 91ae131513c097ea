//! Users, groups, members and tokens, kept in sled. A change is written as a whole, and is on the disk before it is
//! acknowledged. Nothing else holds them: an export beside the database is the backup.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sled::Batch;

use super::database::Database;
use super::durable;
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
const RECORDS: &str = "records";

impl IdentityStore {
    /// Opens the store below the folder of all data, making an empty one where there is none. Refuses one that is damaged,
    /// or empty beside an export: sled itself begins anew where its file was cut to nothing.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let folder = data.join("identity");
        let export = data.join("identity.jsonl");
        let refuse = |error: StoreError| match error {
            StoreError::Damaged(reason) => {
                let (folder, data, export) = (folder.clone(), data.to_owned(), export.clone());
                OpenError::Identities { folder, data, export, reason }
            }
            // Nothing is lost: a restore would not help.
            StoreError::Full | StoreError::Io(_) => OpenError::Io { path: folder.clone(), error },
        };
        let database = Database::open(&folder, CACHE_BYTES).map_err(refuse)?;
        let tree = |name| database.open_tree(name).map_err(|error| refuse(error.into()));
        let (records, last_used) = (tree(RECORDS)?, tree("last_used")?);
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
        self.database.check_writable()?;
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
    pub fn forget_last_used(&self, credentials: &[CredentialId]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for id in credentials {
            batch.remove(id.to_string().as_bytes());
        }
        self.database.check_writable()?;
        Ok(self.last_used.apply_batch(batch)?)
    }

    /// From now on as if the disk were full.
    #[cfg(test)]
    pub(crate) fn fill_up(&mut self) {
        self.database.fill_up();
    }

    /// Writes the export beside the database, replacing the one before.
    pub fn write_export(&self, directory: &Directory) -> Result<(), StoreError> {
        export::write(&self.export, directory)
    }

    /// Makes a store of these records below the folder of all data, with the export beside it. A store that was there is set
    /// aside; returns where. Killed in the middle, it leaves what was there or a store that is refused with the way out.
    pub fn restore(data: &Path, directory: &Directory) -> Result<Option<PathBuf>, OpenError> {
        let (folder, growing) = (data.join("identity"), data.join("identity.restoring"));
        let fail = |error: StoreError| OpenError::Io { path: folder.clone(), error };
        Self::fill(&growing, directory).map_err(fail)?;
        let aside = set_aside(&folder).map_err(|error| fail(error.into()))?;
        durable::rename(&growing, &folder).map_err(|error| fail(error.into()))?;
        export::write(&data.join("identity.jsonl"), directory).map_err(fail)?;
        Ok(aside)
    }

    fn fill(folder: &Path, directory: &Directory) -> Result<(), StoreError> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let database = Database::open(folder, CACHE_BYTES)?;
        let mut batch = Batch::default();
        for record in directory.records() {
            batch.insert(record.key().to_string().as_bytes(), serde_json::to_vec(&record)?);
        }
        database.check_writable()?;
        database.open_tree(RECORDS)?.apply_batch(batch)?;
        database.flush()
    }

    /// Forces everything to the disk, as before the process ends.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }
}

/// Renames a folder to the next free name of its kind; returns it, or nothing where there is no such folder.
fn set_aside(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    if !folder.exists() {
        return Ok(None);
    }
    let names = (1_u32..).map(|number| folder.with_extension(format!("replaced-{number}")));
    let free = names.into_iter().find(|name| !name.exists());
    if let Some(name) = &free {
        durable::rename(folder, name)?;
    }
    Ok(free)
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
    fn a_folder_that_was_there_before_does_not_open_the_identities_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        IdentityStore::open(data.path()).unwrap();
        let mode = std::fs::metadata(data.path().join("identity")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
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
    fn times_of_last_use_are_kept_until_they_are_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(data.path()).unwrap();
        let (id, at) = (CredentialId::from_random([1; 16]), Timestamp::from_second(1_000).unwrap());
        let other = CredentialId::from_random([2; 16]);
        store.note_last_used([(id, at), (other, at)]).unwrap();
        store.forget_last_used(&[other]).unwrap();
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

    #[test]
    fn a_restored_store_holds_what_it_was_given_and_the_one_before_is_kept_aside() {
        let data = tempfile::tempdir().unwrap();
        let given = Directory::from_records([service(7)]);
        assert_eq!(IdentityStore::restore(data.path(), &given).unwrap(), None);
        let store = IdentityStore::open(data.path()).unwrap();
        store.commit(&[Write::Put(service(8))]).unwrap();
        drop(store);
        let aside = IdentityStore::restore(data.path(), &given).unwrap().unwrap();
        assert!(aside.join("db").exists());
        assert_eq!(IdentityStore::open(data.path()).unwrap().load().unwrap().service().last_user, 7);
        assert_eq!(export::read(&data.path().join("identity.jsonl")).unwrap().service().last_user, 7);
    }
}
