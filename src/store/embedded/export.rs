//! The export of all identities, `identity.jsonl`: a snapshot in the format of [`changes`], made from the journal.
//! Of secrets it contains only digests and password hashes. Backups keep it and restores read it; a start uses it
//! as a second record of the number of changes. It is never replaced by an export with fewer changes, and the
//! previous export is kept as `identity.jsonl.1`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::backup;
use super::changes::{self, History, Position, Rest};
use super::journal::Journal;
use super::records::RecordsDatabase;
use super::restorable::{Backup, Beside, KeptEvents};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Record};
use crate::store::atomic_file::{self, NewFile};
use crate::store::error::StoreError;

/// The export of an open store. Its methods block.
pub(super) struct Export {
    path: PathBuf,
    previous: PathBuf,
    pace: Mutex<Pace>,
}

/// State that limits how often the export is written. Each export writes all identities, so that large ones are
/// written less often: only the journal is up to date.
#[derive(Default)]
struct Pace {
    /// Position of the file's content; `None` until an export was written or found.
    written: Option<Position>,
    /// Earliest time of the next export.
    next: Option<Instant>,
}

/// Maximum average number of bytes per second that exports write.
const MAX_BYTES_PER_SECOND: u64 = 1 << 20;
/// Maximum share of the time that exports take: one part in this number.
const MAX_TIME_SHARE_DIVISOR: u32 = 20;

/// The position that an export records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exported {
    /// There is no export.
    Nothing,
    /// The export has version 1, which records no number of changes.
    Unnumbered,
    /// The export was made at this position.
    At(Position),
}

impl Export {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), previous: previous(path), pace: Mutex::default() }
    }

    /// Writes the content of the journal, unless the export has it already or the next export is not due yet.
    /// Returns true if it was written. Fails as [`Self::write_now`] does.
    pub(super) fn write_if_due(&self, journal: &Journal) -> Result<bool, StoreError> {
        let mut pace = self.lock()?;
        if pace.next.is_some_and(|next| Instant::now() < next) {
            return Ok(false);
        }
        self.write(journal, &mut pace)
    }

    /// Writes the content of the journal, unless the export has it already. Returns true if it was written. Fails
    /// if the journal cannot be read back, the export cannot be written, or if the present export has more changes.
    pub(super) fn write_now(&self, journal: &Journal) -> Result<bool, StoreError> {
        self.write(journal, &mut *self.lock()?)
    }

    fn write(&self, journal: &Journal, pace: &mut Pace) -> Result<bool, StoreError> {
        if pace.written == Some(journal.end()?) {
            return Ok(false);
        }
        let begun = Instant::now();
        let history = journal.read_back()?;
        let bytes = self.replace(&history);
        pace.next = Some(Instant::now() + next_interval(*bytes.as_ref().unwrap_or(&0), begun.elapsed()));
        pace.written = bytes.is_ok().then(|| history.end());
        bytes.map(|bytes| bytes > 0)
    }

    /// Replaces the export. Returns the number of bytes written, 0 if it has the same content already.
    fn replace(&self, history: &History) -> Result<u64, StoreError> {
        let at = history.end();
        let present = position(&self.path);
        match present {
            Ok(Exported::At(present)) if present == at => return Ok(0),
            Ok(Exported::At(present)) if present.number > at.number => {
                let (path, newer, ours) = (self.path.display(), present.number, at.number);
                let reason = format!("{path} has {newer} changes and is not replaced by an export with {ours}");
                return Err(StoreError::Io(reason));
            }
            Ok(_) | Err(_) => {}
        }
        let mut new = NewFile::begin(&self.path)?;
        let bytes = changes::write_snapshot(&mut new, at, &history.records)?;
        new.sync()?;
        // A damaged export must not replace the intact previous one.
        if matches!(present, Ok(Exported::Unnumbered | Exported::At(_))) {
            fs::rename(&self.path, &self.previous)?;
        }
        new.rename()?;
        atomic_file::sync_name(&self.path)?;
        Ok(bytes)
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, Pace>, StoreError> {
        self.pace.lock().map_err(|_| StoreError::Io("an export failed before".to_owned()))
    }
}

/// Returns the time to wait after an export of `bytes` bytes that took `took`.
fn next_interval(bytes: u64, took: Duration) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / MAX_BYTES_PER_SECOND).max(took * MAX_TIME_SHARE_DIVISOR)
}

/// Returns the path of the previous export.
pub(super) fn previous(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

/// Returns the position that the export at `path` records, after verifying all of it. Fails if it is damaged or
/// cannot be read.
pub(super) fn position(path: &Path) -> Result<Exported, StoreError> {
    let Some((format, file)) = open(path)? else { return Ok(Exported::Nothing) };
    match format {
        Format::Backup => Err(StoreError::Damaged("it is a backup, not an export".to_owned())),
        Format::Identities(1) => read_version_1(file).map(|_| Exported::Unnumbered),
        Format::Identities(_) => changes::position_of_snapshot(file).map(Exported::At),
    }
}

/// Reads identities to restore from a backup, an export, a journal, or the folder of a database.
///
/// # Errors
///
/// Fails if there is no such file, or if it is damaged or cannot be read.
pub fn read(path: &Path) -> Result<Backup, StoreError> {
    read_up_to(path, None)
}

/// Reads identities as [`read`] does, up to the change with the number `last`. What follows that change may be
/// damaged.
///
/// # Errors
///
/// Fails as [`read`] does, and if the file ends before that change or has it in its snapshot.
pub fn read_up_to(path: &Path, last: Option<u64>) -> Result<Backup, StoreError> {
    let named = |error| match error {
        StoreError::Damaged(reason) => StoreError::Damaged(format!("{}: {reason}", path.display())),
        StoreError::Full | StoreError::Io(_) | StoreError::Closed | StoreError::Fleet(_) => error,
    };
    let backup = read_any(path, last).map_err(named)?;
    match last {
        Some(last) if backup.number != last => {
            let (path, number) = (path.display(), backup.number);
            Err(StoreError::Io(format!("{path} can be read up to change {number}, not to change {last}")))
        }
        Some(_) | None => Ok(backup),
    }
}

fn read_any(path: &Path, last: Option<u64>) -> Result<Backup, StoreError> {
    if path.is_dir() {
        // sled would create a database there.
        if !is_database(path) {
            return Err(StoreError::Io(
                "this folder is not a database of identities: it has no db and conf".to_owned(),
            ));
        }
        let database = RecordsDatabase::open(path)?;
        let (directory, position) = (database.load()?, database.position()?);
        let events = KeptEvents(changes::events_in(database.texts()?));
        let number = position.as_ref().map_or(0, |position| position.number);
        let installation = position.and_then(|position| position.installation);
        return Ok(Backup { directory, events, number, installation, incomplete: false, beside: Beside::default() });
    }
    let Some((format, file)) = open(path)? else { return Err(StoreError::Io("there is no such file".to_owned())) };
    match format {
        Format::Backup => backup::read(file),
        Format::Identities(1) => {
            let (directory, beside) = (read_version_1(file)?, Beside::default());
            let events = KeptEvents::default();
            Ok(Backup { directory, events, number: 0, installation: None, incomplete: false, beside })
        }
        Format::Identities(_) => read_history(file, last),
    }
}

fn read_history(file: impl BufRead, last: Option<u64>) -> Result<Backup, StoreError> {
    let history = changes::read_up_to(file, last)?;
    match history.rest {
        // The caller compares the number of the last change and reports what is missing.
        Rest::Damaged(reason) if last.is_none() => return Err(StoreError::Damaged(reason)),
        Rest::Damaged(_) | Rest::Torn(_) | Rest::Nothing => {}
    }
    let (Position { number, installation, .. }, incomplete) = (history.end(), history.rest != Rest::Nothing);
    let (directory, beside) = (changes::directory_of(&history.records)?, Beside::default());
    let events = KeptEvents(changes::events_in(history.records));
    Ok(Backup { directory, events, number, installation, incomplete, beside })
}

/// Returns true if this folder contains a database.
pub(super) fn is_database(folder: &Path) -> bool {
    ["db", "conf"].iter().all(|name| folder.join(name).is_file())
}

/// The format of a file, by its first line.
enum Format {
    /// A file of `backup`.
    Backup,
    /// An export or a journal, of this version.
    Identities(u32),
}

/// Returns the format of this file, and a reader of the file from its beginning; `None` if there is no file.
fn open(path: &Path) -> Result<Option<(Format, impl BufRead + use<>)>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut first = Vec::new();
    file.read_until(b'\n', &mut first)?;
    let format = if changes::is_of(backup::FORMAT, &first) {
        Format::Backup
    } else {
        Format::Identities(changes::version_of(&first)?)
    };
    Ok(Some((format, std::io::Cursor::new(first).chain(file))))
}

#[derive(Deserialize)]
struct TrailerOfVersion1 {
    sha256: Digest,
}

fn read_version_1(mut from: impl BufRead) -> Result<Directory, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(what.to_owned());
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    let body = text.strip_suffix('\n').and_then(|text| text.rfind('\n'));
    let (body, trailer) = body.map(|at| text.split_at(at + 1)).ok_or_else(|| damaged("it ends too early"))?;
    let trailer: TrailerOfVersion1 = serde_json::from_str(trailer).map_err(|_| damaged("it ends too early"))?;
    if sha256::digest(body.as_bytes()) != trailer.sha256 {
        return Err(damaged("its checksum does not match"));
    }
    let records = body.lines().skip(1).map(|line| Ok(serde_json::from_str::<Record>(line)?));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, StoreError>>()?))
}

#[cfg(test)]
mod tests;
