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
//! nobody was told.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::changes::{self, History, Position, Rest};
use super::durable;
use super::error::{OpenError, StoreError};
use super::export::{self, Exported};
use super::journal::Journal;
use super::records::RecordsDatabase;
use crate::domain::directory::{Directory, RecordKey, Service};

/// The files of identities in the folder of all data.
#[derive(Clone, Debug)]
pub(super) struct Files {
    data: PathBuf,
    /// The folder of the database.
    pub(super) database: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) export: PathBuf,
}

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

impl Files {
    /// Those below this folder.
    pub(super) fn below(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            database: data.join("identity"),
            journal: data.join("identity.journal"),
            export: data.join("identity.jsonl"),
        }
    }

    /// Sets the database aside under a free name, with a copy of the journal and of the export. Returns where; none where there is
    /// nothing of all that.
    pub(super) fn set_aside(&self) -> io::Result<Option<PathBuf>> {
        let copied = [&self.journal, &self.export].map(|path| path.exists().then_some(path));
        if !self.database.exists() && copied == [None, None] {
            return Ok(None);
        }
        let names = (1_u32..).map(|number| self.database.with_extension(format!("replaced-{number}")));
        let Some(aside) = names.into_iter().find(|name| !name.exists()) else { return Ok(None) };
        if self.database.exists() {
            durable::rename(&self.database, &aside)?;
        } else {
            durable::create_folder(&aside)?;
        }
        for path in copied.into_iter().flatten() {
            durable::copy_into(&aside, path)?;
        }
        Ok(Some(aside))
    }
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

    /// The file that a restore loses least with: the one with the highest number, whole ones of the same number in the order of trust.
    fn newest(&self, files: &Files) -> PathBuf {
        let journal = match &self.journal {
            FoundJournal::Read(history) if history.rest == Rest::Nothing => Some(history.end().number),
            FoundJournal::Read(_) | FoundJournal::Missing | FoundJournal::Unusable(_) => None,
        };
        let number = |witness: &Witness| if let Witness::At(position) = witness { Some(position.number) } else { None };
        let sources = [
            (number(&self.in_database), &files.database),
            (number(&self.in_export), &self.export),
            (journal, &files.journal),
        ];
        let newest = sources.into_iter().max_by_key(|(number, _)| *number);
        newest.filter(|(number, _)| number.is_some()).map_or_else(|| self.export.clone(), |(_, path)| path.clone())
    }

    /// There is no journal: begins one with what is in the database.
    fn begin(&mut self, files: &Files) -> Result<(RecordsDatabase, Journal), Refusal> {
        let refuse = |reason: String| Err(Refusal::Reason(reason));
        for (witness, name) in [(&self.in_database, "the database"), (&self.in_export, "the export")] {
            if let Witness::At(position) = witness {
                let (path, number) = (files.journal.display(), position.number);
                return refuse(format!("the journal {path} is missing, and {name} knows of change {number}"));
            }
        }
        if self.in_database == Witness::Nothing && self.in_export != Witness::Nothing {
            return refuse("it is empty, and an export says that it was not".to_owned());
        }
        let database = self.take_database(files)?;
        let records = database.texts()?;
        let directory = changes::directory_of(&records)?;
        let exported = (self.in_export == Witness::Unnumbered).then(|| export::read(&self.export)).transpose()?;
        if exported.is_some_and(|exported| is_newer(&exported.directory, &directory)) {
            return refuse("the export holds changes that it lacks".to_owned());
        }
        let position = Position::of_new_history(u64::from(!records.is_empty()));
        let journal = Journal::create(&files.journal, position, &records)?;
        if !records.is_empty() {
            tracing::info!(records = records.len(), "the journal of identities begins with what is in the database");
            database.apply(&[], position)?;
        }
        Ok((database, journal))
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
        let end = history.end();
        let (known, unreadable) = match &self.in_database {
            Witness::At(position) => (position.number, false),
            Witness::Nothing | Witness::Unnumbered => (0, false),
            Witness::Unreadable(_) => (0, true),
        };
        let database = match self.database.take() {
            Some(Ok(database)) if !unreadable => database,
            None => RecordsDatabase::open(&files.database)?,
            Some(old) => make_anew(files, old.ok())?,
        };
        let (database, difference) = match database.difference(&history.records) {
            Ok(difference) => (database, difference),
            Err(StoreError::Damaged(_)) => {
                let database = make_anew(files, Some(database))?;
                let difference = database.difference(&history.records)?;
                (database, difference)
            }
            Err(error) => return Err(error.into()),
        };
        if difference.is_empty() && self.in_database == Witness::At(end) {
            return Ok((database, journal));
        }
        let (changes, records) = (end.number - known, difference.len());
        if changes > 0 || records > 0 {
            tracing::warn!(
                changes,
                records,
                "changes of identities were missing in the database and are put back from the journal"
            );
        }
        // What sled gives back after it lost more than what was on its way is not built upon.
        let is_damaged = match &self.in_database {
            Witness::At(_) => changes != 1,
            Witness::Unnumbered => records > 0,
            Witness::Nothing | Witness::Unreadable(_) => false,
        };
        let database = if is_damaged { make_anew(files, Some(database))? } else { database };
        database.check_writable()?;
        let difference = if is_damaged { database.difference(&history.records)? } else { difference };
        database.apply(&difference, end)?;
        Ok((database, journal))
    }

    fn take_database(&mut self, files: &Files) -> Result<RecordsDatabase, StoreError> {
        let database = self.database.take().unwrap_or_else(|| RecordsDatabase::open(&files.database))?;
        match &self.in_database {
            Witness::Unreadable(reason) => Err(StoreError::Damaged(reason.clone())),
            Witness::Nothing | Witness::Unnumbered | Witness::At(_) => Ok(database),
        }
    }
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

/// An empty database in the place of one that cannot be trusted, which is kept as `identity.damaged`. Takes over the times of last use
/// that can be read.
fn make_anew(files: &Files, old: Option<RecordsDatabase>) -> Result<RecordsDatabase, StoreError> {
    let last_used = old.as_ref().and_then(|old| old.last_used().ok()).unwrap_or_default();
    drop(old);
    let aside = files.database.with_extension("damaged");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    durable::rename(&files.database, &aside)?;
    tracing::warn!(aside = %aside.display(), "the database of identities is damaged; it is set aside and made anew");
    let database = RecordsDatabase::open(&files.database)?;
    database.note_last_used(last_used)?;
    Ok(database)
}

/// Whether the one directory shows that something happened of which the other does not know: a number was given, something is gone whose number is
/// never given again, a token is revoked. Not every change shows.
fn is_newer(one: &Directory, other: &Directory) -> bool {
    let given = |directory: &Directory| {
        let service = directory.service();
        [service.last_user, service.last_group, service.last_token]
    };
    let (newest, present) = (given(one), keys(one));
    let gone = keys(other).into_iter().any(|key| {
        let was_given = match key {
            RecordKey::User(id) => id.0 <= newest[0],
            RecordKey::Group(id) => id.0 <= newest[1],
            RecordKey::Token(id) => id.0 <= newest[2],
            RecordKey::Membership(..) | RecordKey::Tombstone(_) | RecordKey::Service => false,
        };
        was_given && !present.contains(&key)
    });
    let mut tokens = one.tokens().filter(|token| token.revoked_at.is_some());
    let revoked = tokens.any(|token| other.token(token.id).is_some_and(|token| token.revoked_at.is_none()));
    given(one).iter().zip(given(other)).any(|(one, other)| *one > other) || gone || revoked
}

fn keys(directory: &Directory) -> HashSet<RecordKey> {
    directory.records().map(|record| record.key()).collect()
}

#[cfg(test)]
mod tests;
