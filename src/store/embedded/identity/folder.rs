//! Identities in a data folder that no service has open: what is in their files, and their replacement by a restore.

use std::path::{Path, PathBuf};

use super::EmbeddedIdentities;
use crate::domain::directory::{Directory, Service};
use crate::domain::id::InstallationId;
use crate::store::embedded::changes::{self, Position};
use crate::store::embedded::recovery::{self, Files, Present, Replacement};
use crate::store::embedded::restorable::KeptEvents;
use crate::store::error::{OpenError, StoreError};
use crate::store::reserve::Reserve;

impl EmbeddedIdentities {
    /// Gap between the last known change and the first change of a restored store, so that no new change gets the
    /// number of one that was made after the backup.
    pub const CHANGES_SKIPPED: u64 = 1000;

    /// Names of the files and folders of identities in the data folder.
    pub(in crate::store) const FILES: [&str; 4] =
        ["identity", "identity.journal", "identity.jsonl", "identity.jsonl.1"];

    /// Returns true if a start has moved a damaged database in this folder aside.
    pub(in crate::store) fn has_set_aside(data: &Path) -> bool {
        Files::below(data).set_aside_database().exists()
    }

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

    /// Returns the highest numbers that were assigned to users, groups and tokens, as far as the files below this
    /// folder can be read.
    pub fn given_numbers(data: &Path) -> Service {
        recovery::known(&Files::below(data)).service
    }

    /// Creates a store with these identities and audit events below the data folder, and its export. `number` is that
    /// of the last change in them. An existing store is moved aside; returns its new path. A process that is killed in
    /// the middle leaves either the existing store or the new one. `before` is called before the existing store
    /// changes, once what needs the most disk space has been written.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, a file cannot be written, or `before` fails. The existing store is still in place
    /// then.
    pub fn restore(
        data: &Path,
        (directory, events): (&Directory, &KeptEvents),
        number: u64,
        before: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<Option<PathBuf>, OpenError> {
        let files = Files::below(data);
        let records = changes::records_of(directory);
        let mut records = records.map_err(|error| OpenError::Io { path: files.journal.clone(), error })?;
        records.extend(events.0.clone());
        let known = recovery::known(&files);
        let number = number.max(known.change).saturating_add(Self::CHANGES_SKIPPED);
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
}
