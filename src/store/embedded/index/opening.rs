//! Opening and closing the index: its database, the mark of its use, and what happens to a database that is damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::{fs, io};

use super::Index;
use super::found::Found;
use super::links::UsedLinks;
use super::totals::Totals;
use super::trust::{Trust, UNREADABLE};
use crate::store::atomic_file;
use crate::store::cache_id::CacheFolder;
use crate::store::damage::{self, Kind};
use crate::store::embedded::database::Database;
use crate::store::error::{OpenError, StoreError};
use crate::store::reserve;

/// Name of a file that marks the database in its folder as in use. It stays behind if the process is killed, or ends
/// in the middle of a change or of the comparison with the files: then entries may be missing, or present again, which
/// the next start corrects.
const IN_USE: &str = "in-use";

/// Size of sled's cache in bytes.
const CACHE_BYTES: u64 = 16 << 20;

impl Index {
    /// Opens the index below the data folder. A database that is damaged or cannot be read is moved aside. A new or
    /// incomplete database, and one of another cache folder, is rebuilt from the small files below the cache folder.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, or if the database can neither be opened nor rebuilt.
    pub fn open(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        let was_in_use = was_interrupted(&data.join("index"));
        let mut index = Self::open_or_rebuild(data, cache)?;
        index.was_in_use = was_in_use;
        // One that was built just now has no records of files yet.
        let is_new = index.trust() == Trust::Checked;
        index.has_compared_files = AtomicBool::new(!was_in_use && !is_new);
        // Without the mark, an examination after a kill would report as broken what the next start corrects.
        if let Err(error) = atomic_file::write_file(&index.folder.join(IN_USE), b"") {
            tracing::warn!(%error, "the index could not be marked as in use");
        }
        Ok(index)
    }

    fn open_or_rebuild(data: &Path, cache: &Path) -> Result<Self, OpenError> {
        let (folder, groups) = (data.join("index"), cache.join("groups"));
        let fail = |error: StoreError| OpenError::of(&folder, error, data, reserve::MIN_FREE_BYTES);
        let cache = CacheFolder::identify(data, cache)?;
        match Self::open_complete(&folder, groups.clone(), &cache) {
            Err(error @ (StoreError::Damaged(_) | StoreError::Io(_))) => {
                damage::found(Kind::Index, &folder, error, "it is moved aside and rebuilt from the small files");
                set_aside(&folder).map_err(fail)?;
                Self::open_complete(&folder, groups, &cache).map_err(fail)
            }
            opened => opened.map_err(fail),
        }
    }

    fn open_complete(folder: &Path, groups: PathBuf, cache: &CacheFolder) -> Result<Self, StoreError> {
        if folder.join(UNREADABLE).exists() {
            return Err(StoreError::Damaged("it could not be read".to_owned()));
        }
        // sled panics on some kinds of damage, also after the database was opened.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let index = Self::open_trees(folder, groups)?;
            index.adopt_traffic_of_first_version()?;
            index.forget_purged()?;
            index.rebuild_unless_complete(cache)?;
            Ok(index)
        }));
        opened.unwrap_or_else(|_| Err(StoreError::Damaged("sled could not read its own files".to_owned())))
    }

    /// Opens the trees of the database in this folder.
    pub(super) fn open_trees(folder: &Path, groups: PathBuf) -> Result<Self, StoreError> {
        let database = Database::open(folder, CACHE_BYTES)?;
        let links = database.open_tree("links")?;
        let sources = database.open_tree("sources")?;
        let tags = database.open_tree("tags")?;
        let group_tags = database.open_tree("group_tags")?;
        let images = database.open_tree("images")?;
        let pins = database.open_tree("pins")?;
        let files = database.open_tree("files")?;
        let summaries = database.open_tree("summaries")?;
        let traffic = database.open_tree("traffic_by_hour")?;
        let pull_records = database.open_tree("pull_records")?;
        Ok(Self {
            database,
            links,
            sources,
            tags,
            group_tags,
            images,
            pins,
            image_changes: AtomicU64::default(),
            pin_changes: AtomicU64::default(),
            files,
            summaries,
            traffic,
            pull_records,
            pull_record_bytes: Mutex::default(),
            totals: Totals::default(),
            used: UsedLinks::default(),
            recording: Mutex::default(),
            groups,
            free_spaces: Vec::new(),
            folder: folder.to_owned(),
            trust: AtomicU8::default(),
            was_in_use: false,
            has_compared_files: AtomicBool::default(),
            found: Found::default(),
            adding: RwLock::default(),
            checking: Mutex::default(),
            purging: Mutex::default(),
        })
    }

    /// Forces everything to the disk, and marks the database as no longer in use, unless what a killed process has left
    /// in it is not corrected yet.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn close(&self) -> Result<(), StoreError> {
        self.flush()?;
        let has_compared_links = !self.was_in_use || self.trust() != Trust::Unchecked;
        if !(has_compared_links && self.has_compared_files.load(Ordering::Acquire)) {
            return Ok(());
        }
        match fs::remove_file(self.folder.join(IN_USE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Returns true if the process that used the database in this folder was killed.
pub(in crate::store::embedded) fn was_interrupted(folder: &Path) -> bool {
    folder.join(IN_USE).exists()
}

/// Moves the folder of the database aside. Fails if it cannot be renamed.
pub(in crate::store::embedded) fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let aside = folder.with_extension("damaged");
    // Usually there is none from an earlier failure.
    let _ = fs::remove_dir_all(&aside).or_else(|_| fs::remove_file(&aside));
    Ok(fs::rename(folder, aside)?)
}
