//! What a start makes of the identities on the disk: the [journal](super::journal) decides, the [database](super::records) is
//! completed from it, and whatever knows of more changes than the journal holds stops the start.
//!
//! Three files know the number of the last change: the journal, the database and the export. At most one of them is taken to be damaged.
//!
//! | found | done |
//! |---|---|
//! | journal whole, nobody knows of more | every record of the database is compared with it; what is missing, too much or different is put back, with a warning. A database that lost more than the last change, or cannot be read, is set aside as `identity.damaged` and made anew |
//! | the same, and one incomplete line at the end | the line is dropped: had its change been acknowledged, the database would know its number |
//! | journal damaged, or at an end before what another file knows, or of another history | refused |
//! | no journal, and any file has a number | refused |
//! | no journal and no number anywhere: a store from before there was a journal, or an empty folder | the records of the database begin a new journal, unless the export shows that the database lost some |
//!
//! A change whose line is whole but of which the database does not know was on its way when the process ended: it counts, although
//! it was not acknowledged.

mod files;
mod newest;
mod replacement;
mod takeover;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

pub(super) use self::files::Files;
pub use self::files::Present;
pub(super) use self::replacement::Replacement;

use super::changes::{self, History, Position, Rest};
use super::error::{OpenError, StoreError};
use super::export::{self, Exported};
use super::journal::Journal;
use super::records::RecordsDatabase;
use crate::domain::directory::{Directory, Service};

/// What was found in them.
struct Found {
    journal: FoundJournal,
    /// None where the folder is missing.
    database: Option<Result<RecordsDatabase, StoreError>>,
    in_database: Witness,
    /// The export that was read: the one before the last where the last is missing or damaged.
    export: PathBuf,
    in_export: Witness,
}

enum FoundJournal {
    Missing,
    Unusable(String),
    Read(History),
}

/// What a file other than the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Witness {
    /// It is missing or empty.
    Nothing,
    /// It has records, and no position.
    Unnumbered,
    At(Position),
    Unreadable(String),
}

/// The highest numbers that any file knows, whether whole or not.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of a change.
    pub(super) change: u64,
    /// Of users, groups and tokens.
    pub(super) service: Service,
}

/// Why the identities cannot be used.
enum Refusal {
    Reason(String),
    Failed(StoreError),
}

/// Opens what is in these files, or begins it.
pub(super) fn open(files: &Files) -> Result<(RecordsDatabase, Journal), OpenError> {
    let mut found = Found::look(files);
    let opened = match std::mem::replace(&mut found.journal, FoundJournal::Missing) {
        FoundJournal::Missing => found.begin(files),
        FoundJournal::Unusable(reason) => Err(Refusal::Reason(reason)),
        FoundJournal::Read(history) => match found.contradiction(&history) {
            None => found.follow(files, &history),
            Some(reason) => {
                found.journal = FoundJournal::Read(history);
                Err(Refusal::Reason(reason))
            }
        },
    };
    opened.map_err(|refusal| match refusal {
        Refusal::Reason(reason) | Refusal::Failed(StoreError::Damaged(reason)) => OpenError::Identities {
            folder: files.database.clone(),
            data: files.data.clone(),
            source_of_restore: found.newest(files),
            reason,
        },
        // Nothing is lost: a restore would not help.
        Refusal::Failed(error @ (StoreError::Full | StoreError::Io(_))) => {
            OpenError::Io { path: files.database.clone(), error }
        }
    })
}

/// What is known of numbers that were given, however damaged the files are.
pub(super) fn known(files: &Files) -> Known {
    let found = Found::look(files);
    let mut known = Known::default();
    let mut add = |change: u64, directory: Option<Directory>| {
        known.change = known.change.max(change);
        if let Some(directory) = directory {
            let (service, other) = (&mut known.service, directory.service());
            service.last_user = service.last_user.max(other.last_user);
            service.last_group = service.last_group.max(other.last_group);
            service.last_token = service.last_token.max(other.last_token);
        }
    };
    if let FoundJournal::Read(history) = &found.journal {
        add(history.end().number, changes::directory_of(&history.records).ok());
    }
    if let Some(Ok(database)) = &found.database {
        add(0, database.texts().and_then(|records| changes::directory_of(&records)).ok());
    }
    add(found.in_database.number(), None);
    add(found.in_export.number(), export::read(&found.export).ok().map(|backup| backup.directory));
    known
}

impl Found {
    fn look(files: &Files) -> Self {
        let journal = read_journal(&files.journal);
        let database = files.database.exists().then(|| RecordsDatabase::open(&files.database));
        let in_database = match &database {
            None => Witness::Nothing,
            Some(Ok(database)) => Witness::of_database(database).unwrap_or_else(Witness::unreadable),
            Some(Err(error)) => Witness::unreadable(error.clone()),
        };
        let (mut export, mut in_export) = (files.export.clone(), Witness::of_export(&files.export));
        if matches!(in_export, Witness::Nothing | Witness::Unreadable(_)) {
            let kept = export::kept(&files.export);
            let in_kept = Witness::of_export(&kept);
            if in_kept != Witness::Nothing {
                (export, in_export) = (kept, in_kept);
            }
        }
        Self { journal, database, in_database, export, in_export }
    }

    /// Why this journal is not all of the truth.
    fn contradiction(&self, history: &History) -> Option<String> {
        if let Rest::Damaged(reason) = &history.rest {
            return Some(format!("the journal is damaged, {reason}"));
        }
        let end = history.end().number;
        for (witness, name) in [(&self.in_database, "the database"), (&self.in_export, "the export")] {
            let Witness::At(position) = witness else { continue };
            if position.number > end {
                let number = position.number;
                return Some(format!("the journal ends with change {end}, and {name} knows of change {number}"));
            }
            if history.digest_at(position.number).is_some_and(|digest| digest != position.digest) {
                return Some(format!("the journal and {name} are of different histories"));
            }
        }
        None
    }

    /// Makes the database what the journal says.
    fn follow(&mut self, files: &Files, history: &History) -> Result<(RecordsDatabase, Journal), Refusal> {
        if let Rest::Torn(bytes) = history.rest {
            tracing::warn!(
                bytes,
                "the journal of identities ends with a change that was never acknowledged; it is dropped"
            );
        }
        let journal = Journal::open(&files.journal, history)?;
        if let Witness::Unreadable(reason) = &self.in_database
            && let Some(Err(error @ (StoreError::Full | StoreError::Io(_)))) = &self.database
        {
            tracing::error!(reason, "the database of identities cannot be opened");
            return Err(Refusal::Failed(error.clone()));
        }
        let database = match self.database.take() {
            Some(Ok(database)) if !matches!(self.in_database, Witness::Unreadable(_)) => database,
            None => RecordsDatabase::open(&files.database)?,
            Some(old) => return Ok((make_anew(files, history, old.ok())?, journal)),
        };
        let database = self.complete(files, history, database)?;
        Ok((database, journal))
    }

    /// Puts back what the database lacks, if anything.
    fn complete(
        &self,
        files: &Files,
        history: &History,
        database: RecordsDatabase,
    ) -> Result<RecordsDatabase, StoreError> {
        let difference = database.difference(&history.records);
        // Times of last use are no reason to refuse a start, but pages that cannot be read would fail later on.
        let difference = match difference.and_then(|difference| database.last_used().map(|_| difference)) {
            Err(StoreError::Damaged(_)) => return make_anew(files, history, Some(database)),
            difference => difference?,
        };
        let end = history.end();
        if difference.is_empty() && self.in_database == Witness::At(end) {
            return Ok(database);
        }
        let (changes, records) = (end.number - self.in_database.number(), difference.len());
        // What sled gives back after it lost more than what was on its way is not built upon.
        let is_damaged = match &self.in_database {
            Witness::At(_) => changes != 1,
            Witness::Unnumbered => records > 0,
            Witness::Nothing | Witness::Unreadable(_) => false,
        };
        if is_damaged {
            return make_anew(files, history, Some(database));
        }
        if changes > 0 || records > 0 {
            warn_of_repair(changes, records);
        }
        database.apply_in_steps(&difference, end)?;
        Ok(database)
    }
}

/// A new database that holds what the journal says.
fn make_anew(files: &Files, history: &History, old: Option<RecordsDatabase>) -> Result<RecordsDatabase, StoreError> {
    let database = files.make_database_anew(old)?;
    let all = database.difference(&history.records)?;
    warn_of_repair(history.end().number, all.len());
    database.apply_in_steps(&all, history.end())?;
    Ok(database)
}

fn warn_of_repair(changes: u64, records: usize) {
    tracing::warn!(
        changes,
        records,
        "changes of identities were missing in the database and are put back from the journal"
    );
}

impl Witness {
    fn of_database(database: &RecordsDatabase) -> Result<Self, StoreError> {
        Ok(match database.position()? {
            Some(position) => Self::At(position),
            None if database.is_empty()? => Self::Nothing,
            None => Self::Unnumbered,
        })
    }

    fn of_export(path: &Path) -> Self {
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
            StoreError::Full | StoreError::Io(_) => error.to_string(),
        })
    }

    fn number(&self) -> u64 {
        if let Self::At(position) = self { position.number } else { 0 }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn read_journal(path: &Path) -> FoundJournal {
    let read = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FoundJournal::Missing,
        file => file.map_err(StoreError::from).and_then(|file| changes::read(BufReader::with_capacity(1 << 16, file))),
    };
    read.map_or_else(|error| FoundJournal::Unusable(format!("{}: {error}", path.display())), FoundJournal::Read)
}

#[cfg(test)]
mod tests;
