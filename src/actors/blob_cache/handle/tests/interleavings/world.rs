//! A real store in memory, for many interleavings.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::scenario::{Scenario, has_database};
use crate::auth::sha256;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::index::Index;
use crate::store::manifests::ManifestStore;
use crate::store::usage::Usage;

/// A store for many interleavings, one after the other.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) content: ContentStore,
    usage: Usage,
    pub(super) files: BlobFiles,
}

impl World {
    /// Creates a store for these seeds: one with a database, or one that has only the small files, as after damage,
    /// which takes a small part of the time.
    pub(super) fn of(seed: u64) -> Self {
        // In memory, where there is such a folder: on a disk, each commit would wait for it.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let (index, usage) = (Index::open(folder.path(), folder.path()).unwrap(), Usage::default());
        let index = if has_database(seed) { index } else { index.without_database() };
        let manifests = ManifestStore::new(folder.path()).counted_in(usage.clone());
        let content = ContentStore::embedded(EmbeddedContent::new(index, manifests));
        let files = BlobFiles::open(folder.path(), MinFree::Bytes(0), 64).unwrap();
        let files = files.within(Quota::Unlimited, usage.clone());
        Self { folder, content, usage, files }
    }

    /// Removes the stored files of an interleaving.
    pub(super) fn empty(&self, scenario: &Scenario) {
        for content in std::iter::once(&scenario.content).chain(&scenario.other) {
            self.files.remove(&sha256::digest(content)).unwrap();
        }
        let index = self.content.engine().index();
        if scenario.other.is_some() {
            index.record_files(&self.usage, &HashMap::new()).unwrap();
        }
        if !has_database(scenario.seed) {
            fs::remove_dir_all(self.folder.path().join("groups")).ok();
        }
    }

    /// Checks that nothing is stored that nobody has requested.
    pub(super) fn end(self) {
        assert_eq!(self.files.digests().unwrap(), []);
    }

    pub(super) fn files(&self, quota: Quota) -> BlobFiles {
        BlobFiles::open(self.folder.path(), MinFree::Bytes(0), 64).unwrap().within(quota, self.usage.clone())
    }
}
