//! The journal of identities, `identity.journal`: a snapshot and every change since, in the format of [`changes`],
//! kept in addition to sled.
//!
//! # Why in addition to sled
//!
//! sled takes a bad checksum in its file for the torn end of its log, and silently drops what follows: one flipped
//! bit restores an older state, in which a revoked token is valid again. Therefore a change may count as stored only
//! if a start can detect that it is missing. This file makes that possible: each line contains the digest of the
//! previous one, only the last line may be incomplete, and the number of the last change is recorded elsewhere too
//! (in the database, in the same batch as the change, and in the export).
//! [`recovery`](crate::store::embedded::recovery) describes how a start uses this.
//!
//! # Rules
//!
//! - A change is first appended and forced to the disk here, then applied to the database, then acknowledged. There
//!   is one writer: the lock is held during both steps.
//! - A failed append is truncated away. If that fails too, or if the database does not accept a change that is in
//!   the journal, further appends are refused until a restart, because they would follow a change that was not
//!   acknowledged.
//! - Compaction writes a new file from the old one: a snapshot of the state at its start, then the lines that were
//!   appended meanwhile, copied under the lock. Appends wait only for that copy. The new file is on the disk before
//!   the rename: if the process is killed at any point, either the old or the new file has the name, and both
//!   contain every change.
//! - A file that turns out to be missing or changed while it is open is rewritten from the database, which has
//!   every change.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

use super::changes::{self, Entry, History, Position, Records};
use crate::store::atomic_file::{self, NewFile};
use crate::store::error::StoreError;

/// The open journal. Its methods block.
pub(super) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the file is rewritten, so that only one rewrite runs at a time.
    compacting: Mutex<()>,
    /// Length in bytes of the changes below which the file is not compacted.
    min_changes_bytes: u64,
}

struct State {
    file: File,
    /// Length of the valid content in bytes: the next line begins there.
    bytes: u64,
    snapshot_bytes: u64,
    end: Position,
    /// Set once the content of the file is uncertain, or the database lacks a change that the file has.
    failed: bool,
}

/// Length in bytes of the changes below which the file is not compacted. It is compacted once they are longer than
/// this, and longer than [`MAX_CHANGES_PER_SNAPSHOT`] times the snapshot.
const MIN_CHANGES_BYTES: u64 = 256 << 10;
/// Maximum ratio of the length of the changes to that of the snapshot.
const MAX_CHANGES_PER_SNAPSHOT: u64 = 2;

impl Journal {
    /// Creates a journal that begins with these records, replacing an existing file. Fails if the file cannot be
    /// written.
    pub(super) fn create(path: &Path, at: Position, records: &Records) -> Result<Self, StoreError> {
        let mut new = NewFile::begin(path)?;
        let bytes = changes::write_snapshot(&mut new, at, records)?;
        let file = new.rename()?;
        atomic_file::sync_name(path)?;
        Ok(Self::over(path, State { file, bytes, snapshot_bytes: bytes, end: at, failed: false }))
    }

    /// Opens the journal from which `read` was read, and truncates it after its last complete line. Syncs the file,
    /// because the previous process may have stopped before it did. Fails if the file cannot be opened, truncated
    /// or synced.
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

    /// Appends one change, and calls `apply` with its position once it is on the disk. If `apply` fails, the change
    /// stays in the journal, and all later changes are refused.
    ///
    /// # Errors
    ///
    /// Fails if the change cannot be written, if `apply` fails, or if an earlier write has failed.
    pub(super) fn append(
        &self,
        writes: &[Entry],
        apply: impl FnOnce(Position) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.usable()?;
        let (line, end) = changes::line_of(state.end, Timestamp::now(), writes)?;
        state.append(line.as_bytes())?;
        // Set before the call, so that it stays set if `apply` panics.
        state.failed = true;
        state.end = end;
        apply(end)?;
        state.failed = false;
        Ok(())
    }

    /// Returns the position of the last change. Fails if an earlier write has failed.
    pub(super) fn end(&self) -> Result<Position, StoreError> {
        Ok(self.usable()?.end)
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all changes so far back from the disk.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Damaged`] if the file is missing, damaged or not what was written to it.
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

    /// Compacts the file if its changes have outgrown the snapshot. Returns true if that was done.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read back, the new one cannot be written, or if an earlier write has failed.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        let _compacting = self.compacting.lock().map_err(|_| failed_before())?;
        if !self.usable()?.is_outgrown(self.min_changes_bytes) {
            return Ok(false);
        }
        let old = self.read_back()?;
        let mut new = NewFile::begin(&self.path)?;
        let snapshot_bytes = changes::write_snapshot(&mut new, old.end(), &old.records)?;
        // Most of the file is synced before the lock is taken, so that appends do not wait for it.
        new.sync()?;
        let mut state = self.usable()?;
        let mut meanwhile = vec![0; usize::try_from(state.bytes - old.whole_bytes).unwrap_or(usize::MAX)];
        state.file.read_exact_at(&mut meanwhile, old.whole_bytes)?;
        new.write_all(&meanwhile)?;
        state.file = new.rename()?;
        state.bytes = snapshot_bytes + meanwhile.len() as u64;
        state.snapshot_bytes = snapshot_bytes;
        // Until the rename is durable, a power cut may restore the old file, which would lack later appends.
        state.failed = true;
        atomic_file::sync_name(&self.path)?;
        state.failed = false;
        Ok(true)
    }

    /// Rewrites the file from other records than its own. `records_at` receives the position at which the file
    /// should end, and returns the records with the position of the last change in them. Appends wait meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if `records_at` fails, the new file cannot be written, or if an earlier write has failed.
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
        // Until the rename is durable, a power cut may restore the old file, which would lack later appends.
        state.failed = true;
        atomic_file::sync_name(&self.path)?;
        state.failed = false;
        Ok(())
    }

    /// Locks the state. Fails if an earlier write has failed.
    fn usable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().map_err(|_| failed_before())?;
        if state.failed { Err(failed_before()) } else { Ok(state) }
    }
}

impl State {
    fn append(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all_at(line, self.bytes);
        // After a failed sync, the success of a later one proves nothing (fsync(2), "EIO").
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
