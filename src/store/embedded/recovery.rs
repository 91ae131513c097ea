//! Recovery of the identities at a start: the [journal](super::journal) is authoritative, the
//! [database](super::records) is completed from it, and the start is refused if another file knows of more changes
//! than the journal.
//!
//! Three files know the number of the last change: the journal, the database and the export. At most one of them is
//! assumed to be damaged, or to belong to [another history](agreement): two that agree outvote the third.
//!
//! Each state of the files leads to one action:
//!
//! - The journal is complete, and no file knows of more changes: every record of the database is compared with it;
//!   missing, surplus and different records are corrected, with a warning. A database that lost more than the last
//!   change, or cannot be read, is moved aside to `identity.damaged` and rebuilt.
//! - The same, with one incomplete line at the end, before which the database ends too: the line is dropped. If its
//!   change had been acknowledged, the database would know its number.
//! - The same, but the database does not show that: refused.
//! - The journal is damaged, ends before a change that another file knows, or is of another history: refused.
//! - No journal, and another file has a number: refused.
//! - No journal and no number in any file (a store of a version without journals, or an empty folder): the records of
//!   the database begin a new journal, unless the export shows that the database lost some.
//!
//! A change whose line is complete but which the database does not know was being written when the process ended.
//! It counts, although it was not acknowledged.

mod agreement;
mod files;
mod newest;
mod replacement;
mod takeover;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use self::agreement::Agreement;
pub(super) use self::files::Files;
pub use self::files::Present;
pub(super) use self::replacement::Replacement;

use super::changes::{self, History, Position, Rest};
use super::export::{self, Exported};
use super::journal::Journal;
use super::records::RecordsDatabase;
use super::reserve;
use crate::domain::directory::{Directory, Service};
use crate::domain::id::InstallationId;
use crate::store::error::{OpenError, StoreError};

/// The state of the files of identities.
struct Found {
    journal: FoundJournal,
    /// `None` if the folder is missing.
    database: Option<Result<RecordsDatabase, StoreError>>,
    in_database: Witness,
    /// Path of the export that was read: the previous one if the last is missing or damaged.
    export: PathBuf,
    in_export: Witness,
}

enum FoundJournal {
    Missing,
    Unusable(String),
    Read(History),
}

/// The position that a file other than the journal records.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Witness {
    /// The file is missing or empty.
    Nothing,
    /// The file has records, but no position.
    Unnumbered,
    At(Position),
    Unreadable(String),
}

/// The highest numbers that any of the files knows, including damaged ones.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Number of the last change.
    pub(super) change: u64,
    /// Numbers of users, groups and tokens.
    pub(super) service: Service,
    /// The installation that the files belong to.
    pub(super) installation: Option<InstallationId>,
}

/// Reason why the identities cannot be used.
enum Refusal {
    Reason(String),
    Failed(StoreError),
}

/// Opens the identities in these files, or begins an empty store.
///
/// # Errors
///
/// Fails if the files contradict each other or changes may be lost, if the disk is full, or if a file cannot be
/// used.
pub(super) fn open(files: &Files) -> Result<(RecordsDatabase, Journal), OpenError> {
    let mut found = Found::look(files);
    let journal = std::mem::replace(&mut found.journal, FoundJournal::Missing);
    let opened = match &journal {
        FoundJournal::Missing => found.begin(files),
        FoundJournal::Unusable(reason) => Err(Refusal::Reason(reason.clone())),
        FoundJournal::Read(history) => match found.contradiction(files, history) {
            None => found.follow(files, history),
            Some(reason) => Err(Refusal::Reason(reason)),
        },
    };
    found.journal = journal;
    opened.map_err(|refusal| match refusal {
        Refusal::Reason(reason) | Refusal::Failed(StoreError::Damaged(reason)) => found.refusal(files, reason),
        // No change is lost, so that a restore would not help.
        Refusal::Failed(error @ (StoreError::Full | StoreError::Io(_) | StoreError::Closed)) => {
            OpenError::of(&files.database, error, &files.data, reserve::MIN_FREE_BYTES)
        }
    })
}

/// Returns the highest numbers in all files that can be read, even if some are damaged.
pub(super) fn known(files: &Files) -> Known {
    let found = Found::look(files);
    let mut known = Known { installation: found.installation(), ..Known::default() };
    let mut add = |change: u64, directory: Option<Directory>| {
        known.change = known.change.max(change);
        if let Some(directory) = directory {
            known.service = known.service.with_numbers_of(directory.service());
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
            let previous = export::previous(&files.export);
            let in_previous = Witness::of_export(&previous);
            if in_previous != Witness::Nothing {
                (export, in_export) = (previous, in_previous);
            }
        }
        Self { journal, database, in_database, export, in_export }
    }

    /// Returns the reason why this journal may lack changes; `None` if it has all of them.
    fn contradiction(&self, files: &Files, history: &History) -> Option<String> {
        if let Rest::Damaged(reason) = &history.rest {
            return Some(format!("the journal is damaged, {reason}"));
        }
        if let Some(reason) = Agreement::of(self, Some(history)).reason(files, self) {
            return Some(reason);
        }
        let end = history.end().number;
        for (witness, name) in [(&self.in_database, "the database"), (&self.in_export, "the export")] {
            let Witness::At(position) = witness else { continue };
            if position.number > end {
                let number = position.number;
                return Some(format!("the journal ends with change {end}, and {name} knows of change {number}"));
            }
        }
        // The loss of an incomplete first change loses nothing that was acknowledged.
        let is_known = end == 0 || matches!(&self.in_database, Witness::At(position) if position.number == end);
        match history.rest {
            Rest::Torn(_) if !is_known => Some(format!(
                "the journal ends with an incomplete line after change {end}, and the database does not show whether that change was acknowledged"
            )),
            Rest::Torn(_) | Rest::Damaged(_) | Rest::Nothing => None,
        }
    }

    /// Makes the content of the database equal to that of the journal.
    fn follow(&mut self, files: &Files, history: &History) -> Result<(RecordsDatabase, Journal), Refusal> {
        if let Rest::Torn(bytes) = history.rest {
            tracing::warn!(
                bytes,
                "the journal of identities ends with an incomplete change that was never acknowledged; the change is dropped"
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
            Some(old) => {
                let database = rebuild_database(files, history, old.ok())?;
                self.mark(&journal, &database, history)?;
                return Ok((database, journal));
            }
        };
        let database = self.complete(files, history, database)?;
        self.mark(&journal, &database, history)?;
        Ok((database, journal))
    }

    /// Records the installation in files of an earlier version, which lack it. If that fails, the next start
    /// repeats it.
    fn mark(&self, journal: &Journal, database: &RecordsDatabase, history: &History) -> Result<(), StoreError> {
        if history.end().installation.is_some() {
            return Ok(());
        }
        let end = history.end().of_installation(self.installation());
        let end = Position { installation: end.installation.or(Position::of_new_history(0).installation), ..end };
        match journal.rewrite(|_| Ok((end, history.records.clone()))) {
            Ok(()) => database.apply(&[], end),
            Err(error) => {
                tracing::warn!(%error, "the journal of identities could not be marked as one of this installation");
                Ok(())
            }
        }
    }

    /// Writes to the database what it lacks, if anything.
    fn complete(
        &self,
        files: &Files,
        history: &History,
        database: RecordsDatabase,
    ) -> Result<RecordsDatabase, StoreError> {
        let difference = database.difference(&history.records);
        // Damaged times of last use must not refuse a start, but pages that cannot be read would fail later: the
        // database is rebuilt without them.
        let difference = match difference.and_then(|difference| database.last_used().map(|_| difference)) {
            Err(StoreError::Damaged(_)) => return rebuild_database(files, history, Some(database)),
            difference => difference?,
        };
        let end = history.end();
        if difference.is_empty()
            && let Witness::At(position) = &self.in_database
            && position.is_at(&end)
        {
            // A database of an earlier version has the position without the installation.
            if *position != end {
                database.apply(&[], end)?;
            }
            return Ok(database);
        }
        let (changes, records) = (end.number - self.in_database.number(), difference.len());
        // If the database lost more than the change that was being written, the rest of its content is not trusted
        // either.
        let is_damaged = match &self.in_database {
            Witness::At(_) => changes != 1,
            Witness::Unnumbered => records > 0,
            Witness::Nothing | Witness::Unreadable(_) => false,
        };
        if is_damaged {
            return rebuild_database(files, history, Some(database));
        }
        if changes > 0 || records > 0 {
            warn_of_repair(changes, records);
        }
        database.apply_in_steps(&difference, end)?;
        Ok(database)
    }
}

/// Rebuilds the database from the journal.
fn rebuild_database(
    files: &Files,
    history: &History,
    old: Option<RecordsDatabase>,
) -> Result<RecordsDatabase, StoreError> {
    let database = files.replace_database(old)?;
    let all = database.difference(&history.records)?;
    warn_of_repair(history.end().number, all.len());
    database.apply_in_steps(&all, history.end())?;
    Ok(database)
}

fn warn_of_repair(changes: u64, records: usize) {
    tracing::warn!(
        changes,
        records,
        "changes of identities were missing in the database and are restored from the journal"
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
            StoreError::Full | StoreError::Io(_) | StoreError::Closed => error.to_string(),
        })
    }

    fn number(&self) -> u64 {
        self.position().map_or(0, |position| position.number)
    }

    fn position(&self) -> Option<&Position> {
        if let Self::At(position) = self { Some(position) } else { None }
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
