//! The index of the cache: which group may read which content (links), which content a tag last referred to, and which
//! images each group has pulled. The index is kept in sled for speed, and each of these entries also in a small file.
//! The files are authoritative: a lost database is rebuilt from them, a damaged one is corrected by them, and until
//! then lookups read the files.
//!
//! In sled alone are the records of stored files, the summaries of manifests, the numbers and times of pulls, the
//! traffic by hour, and who pulled which image. The first two can be made again from the stored content, apart from the
//! numbers of reads. The totals of groups are in memory alone.
//!
//! | module | content |
//! |---|---|
//! | [`links`], [`tags`], [`images`] | the entries: links of groups, tags, images that groups have pulled |
//! | [`image_lists`], [`page`], [`image_record`] | lists of images, as they are shown; a part of a list; the format of a record of an image |
//! | [`pins`], [`pull_records`], [`traffic`] | pins; who pulled which image; pulls and bytes by hour |
//! | [`files`], [`file_record`] | records of stored files, with their reads and their order of eviction; the format of a record |
//! | [`summaries`] | what each stored manifest names |
//! | [`holders`] | groups that hold some content |
//! | [`totals`], [`holdings`] | amounts of content of each group: kept in memory, and counted from the small files |
//! | [`removal`], [`purge`], [`trimming`] | removal of images, and of all that a group has; selection of links to remove |
//! | [`opening`], [`trust`] | opening and closing; when the database is used rather than the small files |
//! | [`examination`], [`found`], [`rebuild`], [`restoring`] | comparison with the small files; correction of the database by them, and of damaged ones by it |
//! | [`moving`] | entries that move to the index of a fleet |
//!
//! The small files themselves are in [`index_file`]; the keys of the database in
//! [`index_key`](super::index_key).

mod examination;
mod file_record;
mod files;
mod found;
mod holders;
mod holdings;
mod image_lists;
mod image_record;
mod images;
mod links;
mod moving;
mod opening;
mod page;
mod pins;
mod pull_records;
mod purge;
mod rebuild;
mod removal;
mod restoring;
mod summaries;
mod tags;
mod totals;
mod traffic;
mod trimming;
mod trust;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use serde::de::DeserializeOwned;

pub(super) use self::examination::{Comparison, open_as_it_is};
pub use self::files::Evictable;
use self::found::Found;
pub use self::image_record::ImageRecord;
use self::links::UsedLinks;
pub(in crate::store) use self::moving::ImageToMove;
pub(super) use self::opening::{set_aside, was_interrupted};
pub use self::page::PageOf;
pub(in crate::store) use self::pull_records::StoredPullRecord;
pub use self::removal::{LinkRemoval, PreparedRemoval};
pub use self::summaries::Summary;
use self::totals::Totals;
pub use self::trimming::LinksToRemove;
use self::trust::Trust;
use super::database::Database;
use super::index_file::images::{self as image_files, ImageFile};
use super::index_file::links::{self as link_files, LinkFile};
use super::index_file::{self, removals as removal_files};
use super::index_key as key;
use crate::domain::id::GroupId;
use crate::store::error::StoreError;
use crate::store::free_space::FreeSpace;
use crate::store::usage::Usage;

/// The open index. All methods block.
pub struct Index {
    database: Database,
    links: sled::Tree,
    /// The accounts of upstreams to which upstream was seen to serve some content.
    sources: sled::Tree,
    tags: sled::Tree,
    group_tags: sled::Tree,
    /// Records of the images that groups have pulled.
    images: sled::Tree,
    /// Keys of the images that are pinned.
    pins: sled::Tree,
    /// Number of times that an image came, or got another digest.
    image_changes: AtomicU64,
    /// Number of times that something was pinned, or pinned images got other content.
    pin_changes: AtomicU64,
    /// Records of the stored files, by digest.
    files: sled::Tree,
    /// Summaries of stored manifests, by their digests.
    summaries: sled::Tree,
    /// Pulls and bytes by hour and group.
    traffic: sled::Tree,
    /// Records of who pulled which image, by day, image and credential.
    pull_records: sled::Tree,
    /// Size of these records in bytes, once it was counted.
    pull_record_bytes: Mutex<Option<u64>>,
    totals: Totals,
    used: UsedLinks,
    /// Held while records of files or images, or granted links are changed, so that the totals agree with them.
    recording: Mutex<()>,
    /// The folder of the small files.
    groups: PathBuf,
    /// Disk space for the small files and for the database.
    free_spaces: Vec<FreeSpace>,
    /// The folder of the database.
    folder: PathBuf,
    /// A [`Trust`], as a number.
    trust: AtomicU8,
    /// True if the last process that used the database was killed.
    was_in_use: bool,
    /// True if the records of files agree with the files.
    has_compared_files: AtomicBool,
    found: Found,
    /// Held for reading while entries are added, and for writing while an entry is corrected or removed.
    adding: RwLock<()>,
    /// Held during the comparison with the files, so that only one runs at a time.
    checking: Mutex<()>,
    /// Groups whose purge has begun.
    purging: Mutex<HashSet<GroupId>>,
}

impl Index {
    /// Returns the same index, after adding the records of all stored files to the totals.
    pub fn counted_in(self, usage: &Usage) -> Self {
        self.count_files(usage);
        self
    }

    /// Returns the same index, limited to this disk space.
    pub fn within(mut self, free_spaces: Vec<FreeSpace>) -> Self {
        self.free_spaces = free_spaces;
        self
    }

    /// Returns the same index, which uses only the small files, as after damage of the database.
    #[cfg(test)]
    pub(crate) fn without_database(self) -> Self {
        self.trust.store(Trust::Broken as u8, Ordering::Release);
        self
    }

    /// Checks that this number of bytes may be added. To be called before each addition. Removals and denials may
    /// exceed the limit.
    fn check_space(&self, bytes: usize) -> Result<(), StoreError> {
        if self.trust() != Trust::Broken {
            self.database.check_writable()?;
        }
        self.free_spaces.iter().try_for_each(|free_space| free_space.check(bytes as u64))
    }

    /// Looks something up in the database; `None` if the database cannot be trusted.
    fn if_trusted<T>(&self, look_up: impl FnOnce() -> Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        if self.trust() == Trust::Checked { self.in_database(look_up).map(Ok) } else { None }
    }

    /// Returns the groups that have files in the cache, or had some before.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be read because the process lacks open files or memory.
    pub fn groups(&self) -> Result<Vec<GroupId>, StoreError> {
        index_file::groups(&self.groups)?.collect()
    }

    /// Returns the folder of the database.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records that all files were compared with their records.
    pub fn note_compared_files(&self) {
        self.has_compared_files.store(true, Ordering::Release);
    }

    /// Forces everything to the disk. Without it, lost entries are recovered from the small files.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.trust() == Trust::Broken { Ok(()) } else { self.database.flush() }
    }
}

fn read<T: DeserializeOwned>(value: Option<sled::IVec>) -> Result<Option<T>, StoreError> {
    Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
}

#[cfg(test)]
mod tests;
