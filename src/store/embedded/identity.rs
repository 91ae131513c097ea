//! The store of identities: users, groups, members and tokens. A change is atomic, and is on the disk before it is
//! acknowledged: first in the [journal](crate::store::embedded::journal), from which a start completes the
//! [database](super::records). The [export](super::export) is a copy for backups.

mod audit;
mod folder;
mod moving;

use std::collections::HashMap;
use std::path::Path;

pub use super::recovery::Present;

use super::changes::Entry;
use super::events::{Events, bytes_of};
use super::export::Export;
use super::journal::Journal;
use super::records::RecordsDatabase;
use super::recovery::{self, Files};
use crate::domain::audit::Event;
use crate::domain::directory::{Directory, Write};
use crate::domain::id::CredentialId;
use crate::domain::last_use::LastUse;
use crate::store::damage::{self, Kind};
use crate::store::error::{OpenError, StoreError};
use crate::store::reserve::Reserve;

/// The open store of identities. All methods block.
pub struct EmbeddedIdentities {
    database: RecordsDatabase,
    journal: Journal,
    export: Export,
    reserve: Reserve,
    events: Events,
}

impl EmbeddedIdentities {
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
        let failed = |error| OpenError::Io { path: files.database.clone(), error };
        let events = Events::of(&database).map_err(failed)?;
        Ok(Self { database, journal, export: Export::at(&files.export), reserve, events })
    }

    /// Returns all identities.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn load(&self) -> Result<Directory, StoreError> {
        self.database.load()
    }

    /// Writes a change with its audit events. Once this returns, all of it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails. The change may or may not be present after the next start, but never in
    /// part.
    pub fn commit(&self, writes: &[Write], events: &[Event]) -> Result<(), StoreError> {
        if writes.is_empty() && events.is_empty() {
            return Ok(());
        }
        let mut entries = writes.iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
        let mut state = self.events.writing();
        let numbered = state.number(events)?;
        let before = entries.len();
        entries.extend(numbered);
        self.reserve.or_release(|| self.database.check_writable())?;
        self.journal.append(&entries, |position| self.database.apply(&entries, position))?;
        state.change_bytes += bytes_of(&entries[before..]);
        self.events.show(&state);
        Ok(())
    }

    /// Returns when and from where each credential was last used, as far as it was written.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn last_used(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        self.database.last_used()
    }

    /// Records when and from where credentials were last used. Not forced to the disk: the loss of some minutes is
    /// harmless.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn note_last_used(&self, used: impl IntoIterator<Item = (CredentialId, LastUse)>) -> Result<(), StoreError> {
        self.database.note_last_used(used)
    }

    /// Deletes the last uses of these credentials.
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
mod tests;
