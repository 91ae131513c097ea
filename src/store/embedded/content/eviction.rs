//! Eviction from the embedded store: records of files and their reads, the removal of those with the lowest priority,
//! and the comparison of the records with the files.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, PoisonError};

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::store::blobs::BlobFiles;
use crate::store::content::Evicted;
use crate::store::embedded::index::Evictable;
use crate::store::error::StoreError;
use crate::store::usage::{FileKind, StoredFile};

/// Maximum length of a manifest whose names are read, in bytes.
const MAX_EXAMINED_BYTES: u64 = 1 << 20;

/// Number of files between two records of the age of the cache, and of records that are compared at once.
const FILES_PER_STEP: usize = 256;

impl EmbeddedContent {
    /// Records files and reads; see [`ContentStore::record_files`](crate::store::content::ContentStore::record_files).
    pub(in crate::store) fn record_files(&self, reads: &HashMap<Digest, u32>) -> Result<(), StoreError> {
        let mut all = reads.clone();
        for (digest, reads) in reads {
            for named in self.names(digest)?.iter() {
                let known = all.entry(*named).or_default();
                *known = known.saturating_add(*reads);
            }
        }
        self.index().record_files(self.manifests().usage(), &all)
    }

    /// Returns what this manifest names: of an index also what its manifests name, as far as they are stored. Nothing
    /// for a blob.
    fn names(&self, digest: &Digest) -> Result<Arc<[Digest]>, StoreError> {
        if let Some(known) = self.names.get(digest) {
            return Ok(known);
        }
        let mut names = Vec::new();
        for child in self.names_of_one(digest, &mut names)? {
            self.names_of_one(&child, &mut names)?;
        }
        let names: Arc<[Digest]> = names.into();
        if !names.is_empty() {
            self.names.insert(*digest, names.clone());
        }
        Ok(names)
    }

    /// Adds what one manifest names. Returns the manifests among it.
    fn names_of_one(&self, digest: &Digest, names: &mut Vec<Digest>) -> Result<Vec<Digest>, StoreError> {
        if !(1..=MAX_EXAMINED_BYTES).contains(&self.manifests().length(digest)?) {
            return Ok(Vec::new());
        }
        let Some(manifest) = self.manifests().read(digest)? else { return Ok(Vec::new()) };
        let named = manifest::parse(&manifest.media_type, &manifest.bytes).unwrap_or_default();
        names.extend(named.blobs.iter().chain(&named.manifests).map(|named| named.digest));
        Ok(named.manifests.into_iter().map(|named| named.digest).collect())
    }

    /// Evicts content; see [`ContentStore::evict`](crate::store::content::ContentStore::evict).
    pub(in crate::store) fn evict(&self, bytes: u64, blobs: &BlobFiles) -> Result<Evicted, StoreError> {
        let mut evicted = Evicted::default();
        let chosen = self.index().evictable(bytes, |digest| blobs.is_being_read(digest))?;
        for step in chosen.chunks(FILES_PER_STEP) {
            for evictable in step {
                if self.evict_one(evictable, blobs)? {
                    evicted.files += 1;
                    evicted.bytes += evictable.file.size;
                }
            }
            if let Some(last) = step.last() {
                self.index().evicted(last.usage.priority)?;
            }
        }
        self.index().record_files(self.manifests().usage(), &HashMap::new())?;
        Ok(evicted)
    }

    /// Removes one file. Returns true if it was there.
    fn evict_one(&self, Evictable { digest, file, .. }: &Evictable, blobs: &BlobFiles) -> Result<bool, StoreError> {
        let removed = match file.kind {
            FileKind::Blob => blobs.remove(digest)?,
            FileKind::Manifest => {
                let _guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
                let was_there = self.manifests().length(digest)? > 0;
                self.manifests().remove(digest)?;
                was_there
            }
        };
        if !removed {
            self.index().lost_file(self.manifests().usage(), digest, *file)?;
        }
        Ok(removed)
    }

    /// Corrects the records; see [`ContentStore::reconcile`](crate::store::content::ContentStore::reconcile).
    pub(in crate::store) fn reconcile(&self, blobs: &BlobFiles) -> Result<usize, StoreError> {
        let mut corrected = 0;
        for digest in blobs.digests()? {
            let size = fs::metadata(blobs.path(&digest)).map_or(0, |file| file.len());
            corrected += usize::from(self.found(&digest, FileKind::Blob, size)?);
        }
        for digest in self.manifests().digests()? {
            let size = self.manifests().length(&digest)?;
            corrected += usize::from(self.found(&digest, FileKind::Manifest, size)?);
        }
        let mut after = None;
        loop {
            let records = self.index().files_after(after, FILES_PER_STEP)?;
            let Some((last, _)) = records.last() else { return Ok(corrected) };
            after = Some(*last);
            for (digest, file) in records {
                let is_there = match file.kind {
                    FileKind::Blob => blobs.path(&digest).exists(),
                    FileKind::Manifest => self.manifests().length(&digest)? > 0,
                };
                if !is_there {
                    self.index().lost_file(self.manifests().usage(), &digest, file)?;
                    corrected += 1;
                }
            }
        }
    }

    /// Records a file that was found. Returns true if it had no record. A file without content is gone, or will be.
    fn found(&self, digest: &Digest, kind: FileKind, size: u64) -> Result<bool, StoreError> {
        if size == 0 {
            return Ok(false);
        }
        self.index().found_file(self.manifests().usage(), digest, StoredFile { kind, size })
    }
}
