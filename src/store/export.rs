//! The export of all identities, `identity.jsonl`: a snapshot in the format of [`changes`], made of the journal. It holds no
//! secret but digests and password hashes. A backup keeps it, and a restore reads it; a start takes it for a witness of how many
//! changes there were. It is never replaced by one with fewer changes, and the one before it is kept as `identity.jsonl.1`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::changes::{self, History, Position, Rest};
use super::durable::{self, NewFile};
use super::error::StoreError;
use super::journal::Journal;
use super::records::RecordsDatabase;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Record};

/// The export of an open store. Blocks.
pub(super) struct Export {
    path: PathBuf,
    kept: PathBuf,
    pace: Mutex<Pace>,
}

/// How often the export is written. All of it is written each time, so a large one is written less often: the journal is what is
/// current.
#[derive(Default)]
struct Pace {
    /// What is in the file; none until one was written or found.
    written: Option<Position>,
    /// Before this the next is not due.
    next: Option<Instant>,
}

/// The export may take this much of the disk's time on average ...
const BYTES_PER_SECOND: u64 = 1 << 20;
/// ... and one part in so many of this process's.
const SHARE: u32 = 20;

/// What an export says about the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exported {
    /// There is none.
    Nothing,
    /// It has version 1: nobody knows of how many changes.
    Unnumbered,
    /// It was made after this change.
    At(Position),
}

/// What can be restored.
#[derive(Debug)]
pub struct Backup {
    /// All identities.
    pub directory: Directory,
    /// The number of the last change in it; 0 where that was not kept.
    pub number: u64,
    /// Whether its last change is incomplete and was left out, as in a copy that was taken of a journal in use.
    pub incomplete: bool,
}

impl Export {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), kept: kept(path), pace: Mutex::default() }
    }

    /// Writes what the journal holds, unless that is done already, or not due. Says whether it was written.
    pub(super) fn write_if_due(&self, journal: &Journal) -> Result<bool, StoreError> {
        let mut pace = self.lock()?;
        if pace.next.is_some_and(|next| Instant::now() < next) {
            return Ok(false);
        }
        self.write(journal, &mut pace)
    }

    /// Writes what the journal holds, unless that is done already. Says whether it was written.
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
        pace.next = Some(Instant::now() + pause(*bytes.as_ref().unwrap_or(&0), begun.elapsed()));
        pace.written = bytes.is_ok().then(|| history.end());
        bytes.map(|bytes| bytes > 0)
    }

    /// Returns how many bytes were written: 0 where the same is there already.
    fn replace(&self, history: &History) -> Result<u64, StoreError> {
        let at = history.end();
        let present = position(&self.path);
        match present {
            Ok(Exported::At(present)) if present == at => return Ok(0),
            Ok(Exported::At(present)) if present.number > at.number => {
                let (path, newer, ours) = (self.path.display(), present.number, at.number);
                let reason = format!("{path} holds {newer} changes and is not replaced by one with {ours}");
                return Err(StoreError::Io(reason));
            }
            Ok(_) | Err(_) => {}
        }
        let mut new = NewFile::begin(&self.path)?;
        let bytes = changes::write_snapshot(&mut new, at, &history.records)?;
        new.sync()?;
        // A damaged one does not push out the good one before it.
        if matches!(present, Ok(Exported::Unnumbered | Exported::At(_))) {
            fs::rename(&self.path, &self.kept)?;
        }
        new.rename()?;
        durable::sync_name(&self.path)?;
        Ok(bytes)
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, Pace>, StoreError> {
        self.pace.lock().map_err(|_| StoreError::Io("an export failed before".to_owned()))
    }
}

/// How long to wait after an export of so many bytes that took so long.
fn pause(bytes: u64, took: Duration) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND).max(took * SHARE)
}

/// The name of the export before the one of this name.
pub(super) fn kept(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

/// What the export of this name says, after all of it was verified.
pub(super) fn position(path: &Path) -> Result<Exported, StoreError> {
    let Some((version, file)) = open(path)? else { return Ok(Exported::Nothing) };
    match version {
        1 => read_version_1(file).map(|_| Exported::Unnumbered),
        _ => changes::position_of_snapshot(file).map(Exported::At),
    }
}

/// Reads what can be restored: an export, a journal, or the folder of a database. One that is damaged is refused.
pub fn read(path: &Path) -> Result<Backup, StoreError> {
    read_up_to(path, None)
}

/// The same up to the change of this number, whatever follows it. Fails where it ends before, or has that change in its snapshot.
pub fn read_up_to(path: &Path, last: Option<u64>) -> Result<Backup, StoreError> {
    let named = |error| match error {
        StoreError::Damaged(reason) => StoreError::Damaged(format!("{}: {reason}", path.display())),
        StoreError::Full | StoreError::Io(_) => error,
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
        // sled would make a database there.
        if !is_database(path) {
            return Err(StoreError::Io("this folder is no database of identities: it has no db and conf".to_owned()));
        }
        let database = RecordsDatabase::open(path)?;
        let number = database.position()?.map_or(0, |position| position.number);
        return Ok(Backup { directory: database.load()?, number, incomplete: false });
    }
    let Some((version, file)) = open(path)? else { return Err(StoreError::Io("there is no such file".to_owned())) };
    if version == 1 {
        return Ok(Backup { directory: read_version_1(file)?, number: 0, incomplete: false });
    }
    let history = changes::read_up_to(file, last)?;
    match history.rest {
        // The caller says what is missing.
        Rest::Damaged(reason) if last.is_none() => return Err(StoreError::Damaged(reason)),
        Rest::Damaged(_) | Rest::Torn(_) | Rest::Nothing => {}
    }
    let (number, incomplete) = (history.end().number, history.rest != Rest::Nothing);
    Ok(Backup { directory: changes::directory_of(&history.records)?, number, incomplete })
}

/// Whether a database stands in this folder.
pub(super) fn is_database(folder: &Path) -> bool {
    ["db", "conf"].iter().all(|name| folder.join(name).is_file())
}

/// The version of this file, and the file from its begin.
fn open(path: &Path) -> Result<Option<(u32, impl BufRead + use<>)>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut first = Vec::new();
    file.read_until(b'\n', &mut first)?;
    let version = changes::version_of(&first)?;
    Ok(Some((version, std::io::Cursor::new(first).chain(file))))
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
    let (body, trailer) = body.map(|at| text.split_at(at + 1)).ok_or_else(|| damaged("it is cut short"))?;
    let trailer: TrailerOfVersion1 = serde_json::from_str(trailer).map_err(|_| damaged("it is cut short"))?;
    if sha256::digest(body.as_bytes()) != trailer.sha256 {
        return Err(damaged("its checksum does not match"));
    }
    let records = body.lines().skip(1).map(|line| Ok(serde_json::from_str::<Record>(line)?));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, StoreError>>()?))
}

#[cfg(test)]
mod tests;
