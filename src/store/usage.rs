//! The disk space that stored content takes: total sizes, which are kept as files come and go, and the files whose
//! records in the index are still to be changed. Knows no folder and does no I/O.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::closing::Closing;
use crate::domain::digest::Digest;

/// Sizes of all stored content. Cheap to clone; clones share their state.
#[derive(Clone, Debug)]
pub struct Usage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: AtomicU64,
    blobs: AtomicU64,
    manifests: AtomicU64,
    /// Bytes of downloads that are not stored yet.
    spooled: AtomicU64,
    /// Bytes that running downloads are expected to write still.
    unwritten: AtomicU64,
    changes: Mutex<HashMap<Digest, FileChange>>,
    closing: Closing,
    /// Held while a file is renamed into place or removed, and counted. Shared by digests with the same first bits.
    changing: [Mutex<()>; LOCKS],
}

/// Number of locks of files.
const LOCKS: usize = 64;

/// Kind of a stored file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A manifest or index.
    Manifest,
    /// A blob.
    Blob,
}

/// A file and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The kind.
    pub kind: FileKind,
    /// The length in bytes.
    pub size: u64,
}

/// The last change of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// It was stored.
    Stored(StoredFile),
    /// It was removed.
    Removed,
}

/// Total sizes of stored content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of manifests and blobs.
    pub bytes: u64,
    /// Number of blobs.
    pub blobs: u64,
    /// Number of manifests.
    pub manifests: u64,
}

/// Bytes of a download that is not stored yet. They count until it is dropped.
#[derive(Debug)]
pub struct Spooled {
    usage: Usage,
    bytes: u64,
    /// The bytes that are expected still.
    unwritten: u64,
}

impl Default for Usage {
    fn default() -> Self {
        let (bytes, blobs, manifests, spooled, unwritten, changes, closing) = Default::default();
        let changing = [const { Mutex::new(()) }; LOCKS];
        Self(Arc::new(Inner { bytes, blobs, manifests, spooled, unwritten, changes, closing, changing }))
    }
}

impl Usage {
    /// Returns the changes under way, for which the end of the store waits.
    pub(in crate::store) fn closing(&self) -> &Closing {
        &self.0.closing
    }

    /// Waits until no other thread changes the file of this digest, and keeps others from it.
    pub(in crate::store) fn changing(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        let lock = usize::from(digest.as_bytes()[0]) % LOCKS;
        self.0.changing[lock].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the totals. While files come and go, the three numbers may be of slightly different times.
    pub fn totals(&self) -> Totals {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Totals { bytes: read(&self.0.bytes), blobs: read(&self.0.blobs), manifests: read(&self.0.manifests) }
    }

    /// Returns the bytes of stored content and of running downloads.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed).saturating_add(self.0.spooled.load(Ordering::Relaxed))
    }

    /// Returns the bytes that running downloads are expected to write still.
    pub fn unwritten(&self) -> u64 {
        self.0.unwritten.load(Ordering::Relaxed)
    }

    /// Starts to count the bytes of a download that is expected to write this number of bytes.
    pub fn spool(&self, expected: u64) -> Spooled {
        self.0.unwritten.fetch_add(expected, Ordering::Relaxed);
        Spooled { usage: self.clone(), bytes: 0, unwritten: expected }
    }

    /// Counts a file that is known from before.
    pub(in crate::store) fn count(&self, file: StoredFile) {
        self.0.bytes.fetch_add(file.size, Ordering::Relaxed);
        self.number_of(file.kind).fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a file that is gone.
    pub(in crate::store) fn uncount(&self, file: StoredFile) {
        subtract(&self.0.bytes, file.size);
        subtract(self.number_of(file.kind), 1);
    }

    /// Records that a file was stored, which was not there before.
    pub(in crate::store) fn stored(&self, digest: &Digest, file: StoredFile) {
        let mut changes = self.changes();
        self.count(file);
        changes.insert(*digest, FileChange::Stored(file));
    }

    /// Records that a file was removed, which was there.
    pub(in crate::store) fn removed(&self, digest: &Digest, file: StoredFile) {
        let mut changes = self.changes();
        self.uncount(file);
        changes.insert(*digest, FileChange::Removed);
    }

    /// Returns the changes since the last call. The caller records them in the index.
    pub(in crate::store) fn take_changes(&self) -> HashMap<Digest, FileChange> {
        mem::take(&mut *self.changes())
    }

    /// Returns the totals, and the changes that are not in the index yet, as they are at one time.
    pub(in crate::store) fn snapshot(&self) -> (Totals, HashMap<Digest, FileChange>) {
        let changes = self.changes();
        (self.totals(), changes.clone())
    }

    /// Replaces the totals by others, if neither they nor the changes differ from a snapshot. Returns true if that was
    /// done. No other thread may count files that are known from before meanwhile.
    pub(in crate::store) fn correct(&self, snapshot: &(Totals, HashMap<Digest, FileChange>), by: Totals) -> bool {
        let changes = self.changes();
        let is_same = self.totals() == snapshot.0 && *changes == snapshot.1;
        if is_same {
            for (number, by) in
                [(&self.0.bytes, by.bytes), (&self.0.blobs, by.blobs), (&self.0.manifests, by.manifests)]
            {
                number.store(by, Ordering::Relaxed);
            }
        }
        is_same
    }

    /// Returns true if changes are not in the index yet.
    pub(in crate::store) fn has_changes(&self) -> bool {
        !self.changes().is_empty()
    }

    /// Returns true if a change of this file is not in the index yet.
    pub(in crate::store) fn is_changing(&self, digest: &Digest) -> bool {
        self.changes().contains_key(digest)
    }

    fn number_of(&self, kind: FileKind) -> &AtomicU64 {
        match kind {
            FileKind::Manifest => &self.0.manifests,
            FileKind::Blob => &self.0.blobs,
        }
    }

    fn changes(&self) -> MutexGuard<'_, HashMap<Digest, FileChange>> {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    /// Adds a file.
    pub(in crate::store) fn add(&mut self, file: StoredFile) {
        self.bytes = self.bytes.saturating_add(file.size);
        match file.kind {
            FileKind::Blob => self.blobs += 1,
            FileKind::Manifest => self.manifests += 1,
        }
    }
}

impl Spooled {
    /// Counts this number of further bytes.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.usage.0.spooled.fetch_add(bytes, Ordering::Relaxed);
        let expected = bytes.min(self.unwritten);
        self.unwritten -= expected;
        subtract(&self.usage.0.unwritten, expected);
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        subtract(&self.usage.0.spooled, self.bytes);
        subtract(&self.usage.0.unwritten, self.unwritten);
    }
}

fn subtract(number: &AtomicU64, less: u64) {
    // Never below zero: a file that was changed from outside may have another length than the one that was counted.
    let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| Some(known.saturating_sub(less)));
}
