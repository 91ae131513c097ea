//! A sled database with durable writes. Data that sled acknowledges survives `kill -9`; data that
//! [`Database::flush`] acknowledges also survives a power cut. Knows nothing of the content.

use std::fs::{self, File};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::store::atomic_file;
use crate::store::error::StoreError;
use crate::store::reserve;

/// Maximum time to wait for sled's lock on the database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval between attempts to open a locked database.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// An open database in a folder of its own.
pub(super) struct Database {
    sled: sled::Db,
    /// A second descriptor of sled's own file, used for `sync_data`: sled writes the file but never calls `fsync`.
    file: File,
    folder: PathBuf,
    /// Set once a write or sync has failed. The state of the last writes on the disk is unknown then, so that
    /// nothing is written on top of them.
    failed: AtomicBool,
    /// Number of changes that readers may already see, but that are not yet handed to the operating system.
    changing: AtomicUsize,
    /// Free space in bytes below which changes are refused: sled does not recover from a full disk.
    min_free_bytes: u64,
}

impl Database {
    /// Opens the database in this folder, creating it if it is missing. `cache_bytes` is the size of sled's cache.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, the files are damaged, or the database stays locked for [`LOCK_TIMEOUT`].
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        atomic_file::create_folder(folder)?;
        // sled panics where it cannot write its first pages.
        if !folder.join("db").exists() && atomic_file::free_bytes(folder)? < reserve::MIN_FREE_BYTES {
            return Err(StoreError::Full);
        }
        remove_unfinished_snapshots(folder)?;
        let config = sled::Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
        let sled = open_with_retry(&config)?;
        let file = File::open(folder.join("db"))?;
        Ok(Self {
            sled,
            file,
            folder: folder.to_owned(),
            failed: AtomicBool::new(false),
            changing: AtomicUsize::new(0),
            min_free_bytes: reserve::MIN_FREE_BYTES,
        })
    }

    /// Checks that a change may be written. To be called before each change.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if an earlier write has failed.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Io("the disk failed before; check it and restart the service".to_owned()));
        }
        if atomic_file::free_bytes(&self.folder)? < self.min_free_bytes {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Returns true if this number of bytes is free on the disk, and no write has failed.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub(super) fn has_space(&self, bytes: u64) -> Result<bool, StoreError> {
        Ok(!self.failed.load(Ordering::Relaxed)
            && atomic_file::free_bytes(&self.folder)? >= bytes.max(self.min_free_bytes))
    }

    /// Simulates a full disk from now on.
    #[cfg(test)]
    pub(super) fn fill_up(&mut self) {
        self.min_free_bytes = u64::MAX;
    }

    /// Hands everything written so far to the operating system: it survives the end of this process, but not a
    /// power cut.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails; later changes are refused then.
    pub(super) fn write_out(&self) -> Result<(), StoreError> {
        self.note_failure(self.sled.flush().map(drop).map_err(StoreError::from))
    }

    /// Applies a change and hands it to the operating system. Concurrent readers may see the change before it is
    /// handed over, and call [`Self::settle`] for that reason.
    ///
    /// # Errors
    ///
    /// Fails if the change or the write fails.
    pub(super) fn change(&self, change: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let _changing = Counted::one_more(&self.changing);
        change()?;
        self.write_out()
    }

    /// Ensures that concurrent changes which the caller may have read survive a crash of this process, by handing
    /// them to the operating system. Reports no error: the writer of the change reports its own failures.
    pub(super) fn settle(&self) {
        if self.changing.load(Ordering::SeqCst) > 0 {
            // The writer of the change gets this error as well.
            let _ = self.write_out();
        }
    }

    /// Forces everything written so far to the disk.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails; later changes are refused then.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.write_out()?;
        self.note_failure(self.file.sync_data().map_err(StoreError::from))
    }

    /// Refuses later changes if this outcome is an error.
    fn note_failure(&self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if outcome.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

impl Deref for Database {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        &self.sled
    }
}

/// Increment of a counter that is undone on drop.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens the database, waiting up to [`LOCK_TIMEOUT`] for its lock. The data folder is locked by this process, so
/// that sled's own lock can be held only by a handle that is being closed: sled releases it shortly after the
/// handle is dropped.
fn open_with_retry(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        // sled panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened.map_err(|_| StoreError::Damaged("sled could not read its own files".to_owned()))? {
            Err(sled::Error::Io(error)) if error.to_string().contains("lock") && Instant::now() < deadline => {
                std::thread::sleep(LOCK_RETRY_INTERVAL);
            }
            opened => return Ok(opened?),
        }
    }
}

/// Deletes unfinished snapshots. A process that is killed while opening the database leaves them, and sled takes
/// them for corruption.
fn remove_unfinished_snapshots(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
