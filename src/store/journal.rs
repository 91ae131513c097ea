//! `identity.journal`: the snapshot and every change after it, as [`changes`] describes them, kept beside sled.
//!
//! # Why beside sled
//!
//! sled takes a bad checksum in its file for the torn end of its log, and forgets what follows, silently: one flipped bit brings back an
//! older state, in which a revoked token is valid. A change must therefore count as stored only if a start can tell that it is missing. In this
//! file it can: each line carries the digest of the one before, only the last line may be incomplete, and the number of the last
//! change is kept elsewhere as well (in the database, within the same batch as the change itself, and in the export). What a start makes
//! of that stands in [`recovery`](super::recovery).
//!
//! # Rules
//!
//! - A change is appended and forced to the disk here first, then applied to the database, then acknowledged. There is one writer: the
//!   lock is held over both.
//! - An append that fails is truncated away. Where that fails too, or where the database does not take a change that stands here, nothing is
//!   appended any more until a restart: it would follow what was not acknowledged.
//! - Compaction rewrites the file beside itself, from itself: a snapshot of the end that it had at the beginning, and the lines that
//!   were appended meanwhile, which are copied under the lock. Appends wait for that copy alone. The new file is on the disk before the
//!   rename; killed anywhere, one of both files has the name, and both hold every change.
//! - A file that is found to be gone or changed while it is open is written anew from the database, which has every change.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

use super::changes::{self, Entry, History, Position, Records};
use super::durable::{self, NewFile};
use super::error::StoreError;

/// The open journal. Blocks.
pub(super) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the file is rewritten.
    compacting: Mutex<()>,
    /// With fewer bytes of changes the file is not rewritten.
    min_changes_bytes: u64,
}

struct State {
    file: File,
    /// Where the next line begins.
    bytes: u64,
    snapshot_bytes: u64,
    end: Position,
    /// Set once it is not certain what stands in the file, or once the database lacks what does.
    failed: bool,
}

/// The file is rewritten once its changes take more than this, and [`MAX_CHANGES_PER_SNAPSHOT`] times the snapshot.
const MIN_CHANGES_BYTES: u64 = 256 << 10;
const MAX_CHANGES_PER_SNAPSHOT: u64 = 2;

impl Journal {
    /// Makes a journal that begins with these records, and opens it. Replaces what has this name.
    pub(super) fn create(path: &Path, at: Position, records: &Records) -> Result<Self, StoreError> {
        let mut new = NewFile::begin(path)?;
        let bytes = changes::write_snapshot(&mut new, at, records)?;
        let file = new.rename()?;
        durable::sync_name(path)?;
        Ok(Self::over(path, State { file, bytes, snapshot_bytes: bytes, end: at, failed: false }))
    }

    /// Opens the journal that was read as this, and forgets what follows its last whole line. Everything in it is on the disk when this
    /// returns: who stopped before may not have come to that.
    pub(super) fn open(path: &Path, read: &History) -> Result<Self, StoreError> {
        let file = File::options().read(true).write(true).open(path)?;
        file.set_len(read.whole_bytes)?;
        file.sync_all()?;
        let (bytes, snapshot_bytes, end) = (read.whole_bytes, read.snapshot_bytes, read.end());
        Ok(Self::over(path, State { file, bytes, snapshot_bytes, end, failed: false }))
    }

    fn over(path: &Path, state: State) -> Self {
        let (path, state, compacting) = (path.to_owned(), Mutex::new(state), Mutex::new(()));
        Self { path, state, compacting, min_changes_bytes: MIN_CHANGES_BYTES }
    }

    /// Appends one change, which is on the disk when `apply` is called with its position. Where `apply` fails, the change stands in the
    /// journal all the same, and everything later is refused.
    pub(super) fn append(
        &self,
        writes: &[Entry],
        apply: impl FnOnce(Position) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.usable()?;
        let (line, end) = changes::line_of(state.end, Timestamp::now(), writes)?;
        state.append(line.as_bytes())?;
        // Also where `apply` panics.
        state.failed = true;
        state.end = end;
        apply(end)?;
        state.failed = false;
        Ok(())
    }

    /// The position of the last change.
    pub(super) fn end(&self) -> Result<Position, StoreError> {
        Ok(self.usable()?.end)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything up to now, read back from the disk. That the file is gone or cannot be read is damage.
    pub(super) fn read_back(&self) -> Result<History, StoreError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("{} cannot be read back: {error}", self.path.display()))
        };
        let (file, bytes, end) = {
            let state = self.usable()?;
            let file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unreadable(&error)),
                opened => opened?,
            };
            (file, state.bytes, state.end)
        };
        let history = changes::read(BufReader::with_capacity(1 << 16, file.take(bytes)));
        let history = history.map_err(|error| unreadable(&error))?;
        if history.end() != end || history.whole_bytes != bytes {
            return Err(StoreError::Damaged(format!("{} is not what was written to it", self.path.display())));
        }
        Ok(history)
    }

    /// Rewrites the file if its changes have outgrown its snapshot. Says whether they had.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        let _compacting = self.compacting.lock().map_err(|_| failed_before())?;
        if !self.usable()?.is_outgrown(self.min_changes_bytes) {
            return Ok(false);
        }
        let old = self.read_back()?;
        let mut new = NewFile::begin(&self.path)?;
        let snapshot_bytes = changes::write_snapshot(&mut new, old.end(), &old.records)?;
        // The larger part, while changes can still be appended.
        new.sync()?;
        let mut state = self.usable()?;
        let mut meanwhile = vec![0; usize::try_from(state.bytes - old.whole_bytes).unwrap_or(usize::MAX)];
        state.file.read_exact_at(&mut meanwhile, old.whole_bytes)?;
        new.write_all(&meanwhile)?;
        state.file = new.rename()?;
        state.bytes = snapshot_bytes + meanwhile.len() as u64;
        state.snapshot_bytes = snapshot_bytes;
        // After a power cut the name may lead to the file before, which lacks what is appended from now on.
        state.failed = true;
        durable::sync_name(&self.path)?;
        state.failed = false;
        Ok(true)
    }

    /// Rewrites the file from records that are known otherwise, and from the position after the last change in them: both are given for the
    /// position that the file should end with. Nothing is appended meanwhile.
    pub(super) fn rewrite(
        &self,
        records_at: impl FnOnce(Position) -> Result<(Position, Records), StoreError>,
    ) -> Result<(), StoreError> {
        let _compacting = self.compacting.lock().map_err(|_| failed_before())?;
        let mut state = self.usable()?;
        let (end, records) = records_at(state.end)?;
        let mut new = NewFile::begin(&self.path)?;
        let bytes = changes::write_snapshot(&mut new, end, &records)?;
        state.file = new.rename()?;
        (state.bytes, state.snapshot_bytes, state.end) = (bytes, bytes, end);
        // After a power cut the name may lead to the file before, which lacks what is appended from now on.
        state.failed = true;
        durable::sync_name(&self.path)?;
        state.failed = false;
        Ok(())
    }

    fn usable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().map_err(|_| failed_before())?;
        if state.failed { Err(failed_before()) } else { Ok(state) }
    }
}

impl State {
    fn append(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all_at(line, self.bytes);
        // Once a sync has failed, one that succeeds later proves nothing (fsync(2), "EIO").
        let uncertain = written.is_ok();
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            let cut_off = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all());
            self.failed = uncertain || cut_off.is_err();
            return Err(error.into());
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn is_outgrown(&self, min_changes_bytes: u64) -> bool {
        let changes = self.bytes - self.snapshot_bytes;
        changes > min_changes_bytes && changes > MAX_CHANGES_PER_SNAPSHOT * self.snapshot_bytes
    }
}

fn failed_before() -> StoreError {
    StoreError::Io(
        "the journal of identities could not be written before; check the disk and restart the service".to_owned(),
    )
}

#[cfg(test)]
mod tests;
