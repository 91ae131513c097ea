//! The store of identities: users, groups, members and tokens. A change is atomic, and is on the disk before it is
//! acknowledged: first in the [journal](crate::store::embedded::journal), from which a start completes the
//! [database](super::records). The [export](super::export) is a copy for backups.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::changes::{self, Entry, Position};
use super::export::Export;
use super::journal::Journal;
use super::records::RecordsDatabase;
pub use super::recovery::Present;
use super::recovery::{self, Files, Replacement};
use super::reserve::Reserve;
use crate::domain::directory::{Directory, Service, Write};
use crate::domain::id::{CredentialId, InstallationId};
use crate::store::damage::{self, Kind};
use crate::store::error::{OpenError, StoreError};

/// The open store of identities. All methods block.
pub struct EmbeddedIdentities {
    database: RecordsDatabase,
    journal: Journal,
    export: Export,
    reserve: Reserve,
}

/// Gap between the last known change and the first change of a restored store, so that no new change gets the
/// number of one that was made after the backup.
const CHANGES_SKIPPED: u64 = 1000;

impl EmbeddedIdentities {
    /// Names of the files and folders of identities in the data folder.
    pub(in crate::store) const FILES: [&str; 4] =
        ["identity", "identity.journal", "identity.jsonl", "identity.jsonl.1"];

    /// Opens the identities below a folder as a start does, and returns them. For a copy of the files: may change them.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::open`] does.
    pub(in crate::store) fn load_from(data: &Path) -> Result<Directory, OpenError> {
        let files = Files::below(data);
        let (database, _journal) = recovery::open(&files)?;
        database.load().map_err(|error| OpenError::Io { path: files.database, error })
    }

    /// Opens the store below the data folder, creating an empty one if there is none. Changes that the database
    /// lost are restored from the journal.
    ///
    /// # Errors
    ///
    /// Fails if more may be lost than the journal can restore, if the disk is full, or if a file cannot be used.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let files = Files::below(data);
        let reserve = Reserve::open(data);
        let (database, journal) = recovery::open(&files)?;
        Ok(Self { database, journal, export: Export::at(&files.export), reserve })
    }

    /// Returns all identities.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn load(&self) -> Result<Directory, StoreError> {
        self.database.load()
    }

    /// Writes a change. Once this returns, all of it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails. The change may or may not be present after the next start, but never in
    /// part.
    pub fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let entries = writes.iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
        self.reserve.or_release(|| self.database.check_writable())?;
        self.journal.append(&entries, |position| self.database.apply(&entries, position))
    }

    /// Returns the time when each credential was last used, as far as it was written.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn last_used(&self) -> Result<HashMap<CredentialId, Timestamp>, StoreError> {
        self.database.last_used()
    }

    /// Records when credentials were last used. Not forced to the disk: the loss of some minutes is harmless.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn note_last_used(&self, used: impl IntoIterator<Item = (CredentialId, Timestamp)>) -> Result<(), StoreError> {
        self.database.note_last_used(used)
    }

    /// Deletes the times of last use of these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn forget_last_used(&self, credentials: &[CredentialId]) -> Result<(), StoreError> {
        self.database.forget_last_used(credentials)
    }

    /// Creates the disk reserve for changes again, if it was used and there is space for it. Blocks.
    pub fn refill_reserve(&self) {
        self.reserve.refill();
    }

    /// Simulates a full disk from now on.
    #[cfg(test)]
    pub(crate) fn fill_up(&mut self) {
        self.database.fill_up();
    }

    /// Returns the journal.
    #[cfg(test)]
    pub(super) fn journal_for_tests(&self) -> &Journal {
        &self.journal
    }

    /// Writes the export and compacts the journal, where there were changes and these are due. A large export is
    /// written less often.
    ///
    /// # Errors
    ///
    /// Fails if the journal cannot be read back or written, or the export cannot be written.
    pub fn tidy(&self) -> Result<(), StoreError> {
        self.with_journal_repair(|| {
            self.export.write_if_due(&self.journal)?;
            self.journal.compact().map(drop)
        })
    }

    /// Writes the export beside the database now, unless it has all changes already.
    ///
    /// # Errors
    ///
    /// Fails if the journal cannot be read back, or the export cannot be written.
    pub fn write_export(&self) -> Result<(), StoreError> {
        self.with_journal_repair(|| self.export.write_now(&self.journal).map(drop))
    }

    /// Runs `work`, which reads the journal. If the journal turns out to be damaged or missing, rewrites it from
    /// the database and runs `work` once more.
    fn with_journal_repair(&self, work: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match work() {
            Err(error @ StoreError::Damaged(_)) => {
                let remedy = "it is rewritten from the database";
                damage::found(Kind::Identities, self.journal.path(), error, remedy);
                self.journal.rewrite(|end| Ok((end, self.database.texts_at(end)?)))?;
                work()
            }
            done => done,
        }
    }

    /// Returns the highest numbers that were assigned to users, groups and tokens, as far as the files below this
    /// folder can be read.
    pub fn given_numbers(data: &Path) -> Service {
        recovery::known(&Files::below(data)).service
    }

    /// Returns the identities below this folder from the file with the latest change; `None` if there are none.
    /// Changes nothing.
    ///
    /// # Errors
    ///
    /// Fails if none of the files can be read.
    pub fn present(data: &Path) -> Result<Option<Present>, StoreError> {
        Files::below(data).present()
    }

    /// Returns true if the identities below this folder are known to belong to this installation, or if one of its
    /// files has identities of which `is_same` holds. Changes nothing.
    pub fn is_of(data: &Path, installation: Option<InstallationId>, is_same: impl Fn(&Directory) -> bool) -> bool {
        Files::below(data).are_of(installation, is_same)
    }

    /// Creates a store with these identities below the data folder, and its export. `number` is that of the last
    /// change in them. An existing store is moved aside; returns its new path. A process that is killed in the
    /// middle leaves either the existing store or the new one. `before` is called before the existing store changes,
    /// once what needs the most disk space has been written.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, a file cannot be written, or `before` fails. The existing store is still in place
    /// then.
    pub fn restore(
        data: &Path,
        directory: &Directory,
        number: u64,
        before: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<Option<PathBuf>, OpenError> {
        let files = Files::below(data);
        let records = changes::records_of(directory);
        let records = records.map_err(|error| OpenError::Io { path: files.journal.clone(), error })?;
        let known = recovery::known(&files);
        let number = number.max(known.change).saturating_add(CHANGES_SKIPPED);
        let position = Position::of_new_history(number).of_installation(known.installation);
        let replacement = Replacement::prepare(&files, position, &records, &Reserve::at(data))?;
        before()?;
        let aside = replacement.carry_out()?;
        let store = Self::open(data)?;
        if let Err(error) = store.write_export() {
            tracing::warn!(%error, "the export of the restored identities is written by the next start");
        }
        Ok(aside)
    }

    /// Forces everything to the disk, as before the process ends.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::directory::{Record, RecordKey};
    use crate::store::embedded::export;

    fn service(last_user: u64) -> Record {
        Record::Service(Service { last_user, ..Service::default() })
    }

    #[test]
    fn a_folder_that_was_there_before_does_not_open_the_identities_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        EmbeddedIdentities::open(data.path()).unwrap();
        let mode = std::fs::metadata(data.path().join("identity")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let data = tempfile::tempdir().unwrap();
        EmbeddedIdentities::open(data.path()).unwrap().commit(&[Write::Put(service(7))]).unwrap();
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        assert_eq!(store.load().unwrap().service().last_user, 7);
        store.commit(&[Write::Remove(RecordKey::Service)]).unwrap();
        assert_eq!(store.load().unwrap().service().last_user, 0);
    }

    #[test]
    fn times_of_last_use_are_kept_until_they_are_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        let (id, at) = (CredentialId::from_random([1; 16]), Timestamp::from_second(1_000).unwrap());
        let other = CredentialId::from_random([2; 16]);
        store.note_last_used([(id, at), (other, at)]).unwrap();
        store.forget_last_used(&[other]).unwrap();
        assert_eq!(store.last_used().unwrap(), HashMap::from([(id, at)]));
    }

    #[test]
    fn a_journal_that_is_damaged_or_removed_while_it_is_open_is_written_anew() {
        for damage in ["flipped", "removed", "older", "moved"] {
            let data = tempfile::tempdir().unwrap();
            let journal = data.path().join("identity.journal");
            let store = EmbeddedIdentities::open(data.path()).unwrap();
            store.commit(&[Write::Put(service(7))]).unwrap();
            let mut bytes = std::fs::read(&journal).unwrap();
            store.commit(&[Write::Put(service(8))]).unwrap();
            match damage {
                "flipped" => {
                    bytes[100] ^= 1;
                    std::fs::write(&journal, bytes).unwrap();
                }
                "removed" => std::fs::remove_file(&journal).unwrap(),
                "older" => std::fs::write(&journal, bytes).unwrap(),
                _ => {
                    std::fs::write(data.path().join("older"), bytes).unwrap();
                    std::fs::rename(data.path().join("older"), &journal).unwrap();
                }
            }
            store.commit(&[Write::Put(service(9))]).unwrap();
            store.tidy().unwrap();
            assert_eq!(export::read(&journal).unwrap().directory.service().last_user, 9, "{damage}");
            store.commit(&[Write::Put(service(10))]).unwrap();
            drop(store);
            assert_eq!(
                EmbeddedIdentities::open(data.path()).unwrap().load().unwrap().service().last_user,
                10,
                "{damage}"
            );
        }
    }

    #[test]
    fn a_store_that_lost_its_content_is_refused_with_the_way_out() {
        let data = tempfile::tempdir().unwrap();
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        store.commit(&[Write::Put(service(7))]).unwrap();
        store.write_export().unwrap();
        drop(store);
        assert!(EmbeddedIdentities::open(data.path()).is_ok());
        std::fs::remove_dir_all(data.path().join("identity")).unwrap();
        std::fs::remove_file(data.path().join("identity.journal")).unwrap();
        let refusal = EmbeddedIdentities::open(data.path()).err().unwrap().to_string();
        assert!(refusal.contains("admin restore"), "{refusal}");
    }

    #[test]
    fn a_restored_store_holds_what_it_was_given_and_the_one_before_is_kept_aside() {
        let data = tempfile::tempdir().unwrap();
        let given = Directory::from_records([service(7)]);
        assert_eq!(EmbeddedIdentities::restore(data.path(), &given, 0, || Ok(())).unwrap(), None);
        let store = EmbeddedIdentities::open(data.path()).unwrap();
        store.commit(&[Write::Put(service(8))]).unwrap();
        drop(store);
        let aside = EmbeddedIdentities::restore(data.path(), &given, 0, || Ok(())).unwrap().unwrap();
        assert!(aside.join("db").exists());
        assert_eq!(EmbeddedIdentities::open(data.path()).unwrap().load().unwrap().service().last_user, 7);
        let export = export::read(&data.path().join("identity.jsonl")).unwrap();
        assert_eq!(export.directory.service().last_user, 7);
    }
}
