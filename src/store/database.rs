//! A sled database made durable: what sled acknowledges survives `kill -9`, what [`Database::flush`] acknowledges survives
//! a power cut too. Knows nothing of what is kept in it.

use std::fs::{self, File};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::durable;
use super::error::StoreError;

/// An open database in a folder of its own.
pub(super) struct Database {
    sled: sled::Db,
    /// A second handle on sled's own file: sled writes it, and never asks the disk to keep it.
    file: File,
}

impl Database {
    /// Opens or makes the database in this folder, with this many bytes of cache.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        durable::create_folder(folder)?;
        remove_unfinished_snapshots(folder)?;
        let config = sled::Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
        // sled panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let sled = opened.map_err(|_| StoreError::Damaged("sled could not read its own files".to_owned()))??;
        let file = File::open(folder.join("db"))?;
        Ok(Self { sled, file })
    }

    /// Forces everything written so far to the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.sled.flush()?;
        self.file.sync_data()?;
        Ok(())
    }
}

impl Deref for Database {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        &self.sled
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
