//! A sled database made durable: what sled acknowledges survives `kill -9`, what [`Database::flush`] acknowledges survives
//! a power cut too. Knows nothing of what is kept in it.

use std::fs::{self, File};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::durable;
use super::error::StoreError;
use super::reserve;

/// An open database in a folder of its own.
pub(super) struct Database {
    sled: sled::Db,
    /// A second handle on sled's own file: sled writes it, and never asks the disk to keep it.
    file: File,
    folder: PathBuf,
    /// Set once the disk failed: what it kept of the last writes is not known, so nothing is written on top of them.
    failed: AtomicBool,
    /// So many changes can be read and are not yet handed to the system.
    changing: AtomicUsize,
    /// sled cannot go on after a full disk, so it never sees one: below this nothing is written.
    min_free_bytes: u64,
}

impl Database {
    /// Opens or makes the database in this folder, with this many bytes of cache.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        durable::create_folder(folder)?;
        // sled panics where it cannot write its first pages.
        if !folder.join("db").exists() && durable::free_bytes(folder)? < reserve::MIN_FREE_BYTES {
            return Err(StoreError::Full);
        }
        remove_unfinished_snapshots(folder)?;
        let config = sled::Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
        let sled = open_patiently(&config)?;
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

    /// Whether something may be written now: to be asked before each change.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Io("the disk failed before; check it and restart the service".to_owned()));
        }
        if durable::free_bytes(&self.folder)? < self.min_free_bytes {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// From now on as if the disk were full.
    #[cfg(test)]
    pub(super) fn fill_up(&mut self) {
        self.min_free_bytes = u64::MAX;
    }

    /// Hands everything written so far to the system: it survives the end of this process, but not a power cut.
    pub(super) fn write_out(&self) -> Result<(), StoreError> {
        self.watched(self.sled.flush().map(drop).map_err(StoreError::from))
    }

    /// Makes a change and hands it to the system. Who reads meanwhile may see it, and calls [`Self::settle`].
    pub(super) fn change(&self, change: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let _changing = Counted::one_more(&self.changing);
        change()?;
        self.write_out()
    }

    /// What was read before of a [`Self::change`] survives the end of this process from now on, as far as the disk works: who
    /// fails to write says so.
    pub(super) fn settle(&self) {
        if self.changing.load(Ordering::SeqCst) > 0 {
            let _told_by_the_writer = self.write_out();
        }
    }

    /// Forces everything written so far to the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.write_out()?;
        self.watched(self.file.sync_data().map_err(StoreError::from))
    }

    fn watched(&self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
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

/// One in a count, for as long as it is kept.
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

/// The folder of data is this process's alone, so that sled's own lock can only be held by a handle that is being closed: sled
/// gives it back a moment after the handle is gone.
fn open_patiently(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        // sled panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened.map_err(|_| StoreError::Damaged("sled could not read its own files".to_owned()))? {
            Err(sled::Error::Io(error)) if error.to_string().contains("lock") && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return Ok(opened?),
        }
    }
}

/// A process killed while opening leaves these, and sled takes them for damage.
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
