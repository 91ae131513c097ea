//! Sources that a start finds: the journal, the database and the export, each as far as it can be read.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::files::Files;
use crate::store::embedded::changes::{self, History, Position};
use crate::store::embedded::export::{self, Exported};
use crate::store::embedded::records::RecordsDatabase;
use crate::store::error::StoreError;

/// The state of the files of identities.
pub(super) struct Found {
    pub(super) journal: FoundJournal,
    /// `None` if the folder is missing.
    pub(super) database: Option<Result<RecordsDatabase, StoreError>>,
    pub(super) in_database: Witness,
    /// Path of the export that was read: the previous one if the last is missing or damaged.
    pub(super) export: PathBuf,
    pub(super) in_export: Witness,
}

pub(super) enum FoundJournal {
    Missing,
    Unusable(String),
    Read(History),
}

/// The position that a file other than the journal records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// The file is missing or empty.
    Nothing,
    /// The file has records, but no position.
    Unnumbered,
    At(Position),
    Unreadable(String),
}

impl Found {
    pub(super) fn look(files: &Files) -> Self {
        let journal = read_journal(&files.journal);
        let database = files.database.exists().then(|| RecordsDatabase::open(&files.database));
        let in_database = match &database {
            None => Witness::Nothing,
            Some(Ok(database)) => Witness::of_database(database).unwrap_or_else(Witness::unreadable),
            Some(Err(error)) => Witness::unreadable(error.clone()),
        };
        let (mut export, mut in_export) = (files.export.clone(), Witness::of_export(&files.export));
        if matches!(in_export, Witness::Nothing | Witness::Unreadable(_)) {
            let previous = export::previous(&files.export);
            let in_previous = Witness::of_export(&previous);
            if in_previous != Witness::Nothing {
                (export, in_export) = (previous, in_previous);
            }
        }
        Self { journal, database, in_database, export, in_export }
    }
}

impl Witness {
    pub(super) fn of_database(database: &RecordsDatabase) -> Result<Self, StoreError> {
        Ok(match database.position()? {
            Some(position) => Self::At(position),
            None if database.is_empty()? => Self::Nothing,
            None => Self::Unnumbered,
        })
    }

    pub(super) fn of_export(path: &Path) -> Self {
        match export::position(path) {
            Ok(Exported::Nothing) => Self::Nothing,
            Ok(Exported::Unnumbered) => Self::Unnumbered,
            Ok(Exported::At(position)) => Self::At(position),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an export of identities cannot be read");
                Self::unreadable(error)
            }
        }
    }

    fn unreadable(error: StoreError) -> Self {
        Self::Unreadable(match error {
            StoreError::Damaged(reason) => reason,
            StoreError::Full | StoreError::Io(_) | StoreError::Closed | StoreError::Fleet(_) => error.to_string(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.position().map_or(0, |position| position.number)
    }

    pub(super) fn position(&self) -> Option<&Position> {
        if let Self::At(position) = self { Some(position) } else { None }
    }
}

pub(super) fn read_journal(path: &Path) -> FoundJournal {
    let read = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FoundJournal::Missing,
        file => file.map_err(StoreError::from).and_then(|file| changes::read(BufReader::with_capacity(1 << 16, file))),
    };
    read.map_or_else(|error| FoundJournal::Unusable(format!("{}: {error}", path.display())), FoundJournal::Read)
}
