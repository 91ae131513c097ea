//! Eviction from the embedded store: records of files and their reads, the removal of those with the lowest priority,
//! and the comparison of the records with the files.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::PoisonError;

use super::EmbeddedContent;
use crate::domain::digest::Digest;
use crate::store::blobs::BlobFiles;
use crate::store::damage::{self, Kind};
use crate::store::embedded::index::Evictable;
use crate::store::error::StoreError;
use crate::store::outcomes::Evicted;
use crate::store::usage::{FileKind, StoredFile};

/// Maximum number of selections for one eviction, where files cannot be removed.
const MAX_SELECTIONS: usize = 4;

/// Number of files between two records of the age of the cache, and of records that are compared at once.
const FILES_PER_STEP: usize = 256;

/// Outcome of the eviction of one file.
enum Outcome {
    Removed,
    /// It was not there, and its record is removed now.
    Gone,
    /// It is being read, or changed meanwhile.
    Kept,
}

/// Digests that all pinned images are and name.
struct Pins {
    /// Number of changes of pins before it was read.
    changes: u64,
    content: HashSet<Digest>,
}

impl EmbeddedContent {
    /// Records files and reads; see [`ContentStore::record_files`](crate::store::content::ContentStore::record_files).
    pub(in crate::store) fn record_files(
        &self,
        reads: &HashMap<Digest, u32>,
        blobs: &BlobFiles,
    ) -> Result<(), StoreError> {
        let mut all = reads.clone();
        for (digest, reads) in reads {
            // One pull reads an index, a manifest and a blob, which is one read of the blob.
            for named in self.names(digest) {
                let known = all.entry(named).or_default();
                *known = (*known).max(*reads);
            }
            self.find_platform(digest, blobs);
        }
        self.index().record_files(self.manifests().usage(), &all)?;
        self.index().record_used_links()
    }

    /// Evicts content; see [`ContentStore::evict`](crate::store::content::ContentStore::evict).
    pub(in crate::store) fn evict(&self, bytes: u64, blobs: &BlobFiles) -> Result<Evicted, StoreError> {
        let mut evicted = Evicted::default();
        for _ in 0..MAX_SELECTIONS {
            let failed = self.evict_selected(bytes.saturating_sub(evicted.bytes), blobs, &mut evicted)?;
            self.index().record_files(self.manifests().usage(), &failed)?;
            if failed.is_empty() {
                break;
            }
        }
        Ok(evicted)
    }

    /// Evicts one selection of content. Returns the files that could not be removed, with a number of reads for which
    /// they are not the first choice again: one such file must not prevent the eviction of others.
    fn evict_selected(
        &self,
        bytes: u64,
        blobs: &BlobFiles,
        evicted: &mut Evicted,
    ) -> Result<HashMap<Digest, u32>, StoreError> {
        let (usage, pins) = (self.manifests().usage(), self.pins()?);
        let keep =
            |digest: &Digest| pins.content.contains(digest) || blobs.is_being_read(digest) || usage.is_changing(digest);
        let chosen = self.index().evictable(bytes, keep)?;
        self.evict_chosen(&chosen, pins, blobs, evicted)
    }

    /// Evicts this content, apart from what was pinned since. Returns what [`Self::evict_selected`] does.
    fn evict_chosen(
        &self,
        chosen: &[Evictable],
        mut pins: Pins,
        blobs: &BlobFiles,
        evicted: &mut Evicted,
    ) -> Result<HashMap<Digest, u32>, StoreError> {
        let mut failed = HashMap::new();
        for step in chosen.chunks(FILES_PER_STEP) {
            for evictable in step {
                if self.index().pin_changes() != pins.changes {
                    pins = self.pins()?;
                }
                if pins.content.contains(&evictable.digest) {
                    continue;
                }
                match self.evict_one(evictable, blobs) {
                    Ok(Outcome::Removed) => {
                        evicted.files += 1;
                        evicted.bytes += evictable.file.size;
                    }
                    Ok(Outcome::Gone) => evicted.gone += 1,
                    Ok(Outcome::Kept) => {}
                    Err(error) => {
                        tracing::debug!(digest = %evictable.digest, %error, "a stored file could not be removed");
                        evicted.failure = Some(error.to_string());
                        failed.insert(evictable.digest, u32::MAX);
                    }
                }
            }
            if let Some(last) = step.last() {
                self.index().evicted(last.usage.priority)?;
            }
        }
        Ok(failed)
    }

    fn pins(&self) -> Result<Pins, StoreError> {
        // Read before the images, so that a pin that is set meanwhile is noticed.
        let changes = self.index().pin_changes();
        Ok(Pins { changes, content: self.pinned()? })
    }

    /// Removes one file.
    fn evict_one(&self, Evictable { digest, file, .. }: &Evictable, blobs: &BlobFiles) -> Result<Outcome, StoreError> {
        let removed = match file.kind {
            FileKind::Blob => !blobs.is_being_read(digest) && blobs.evict(digest)?,
            FileKind::Manifest => {
                let _guard = self.removing.write().unwrap_or_else(PoisonError::into_inner);
                self.manifests().evict(digest)?
            }
        };
        if removed {
            return Ok(Outcome::Removed);
        }
        if blobs.path(digest).exists() {
            return Ok(Outcome::Kept);
        }
        let had_record = self.index().lost_file(self.manifests().usage(), digest, *file)?;
        Ok(if had_record { Outcome::Gone } else { Outcome::Kept })
    }

    /// Corrects the records; see [`ContentStore::reconcile`](crate::store::content::ContentStore::reconcile). `pace` is
    /// called for each file, and returns false to stop.
    pub(in crate::store) fn reconcile(
        &self,
        blobs: &BlobFiles,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<usize, StoreError> {
        let mut corrected = 0;
        let mut pace = || pace() && !self.closing().is_closed();
        for digest in blobs.digests()? {
            if !pace() {
                return Ok(corrected);
            }
            let size = fs::metadata(blobs.path(&digest)).map_or(0, |file| file.len());
            corrected += usize::from(self.found(&digest, FileKind::Blob, size)?);
        }
        for digest in self.manifests().digests()? {
            if !pace() {
                return Ok(corrected);
            }
            let size = self.manifests().length(&digest)?;
            corrected += usize::from(self.found(&digest, FileKind::Manifest, size)?);
        }
        corrected += self.manifests().remove_lone_descriptions()?;
        let mut after = None;
        loop {
            let records = self.index().files_after(after, FILES_PER_STEP)?;
            let Some((last, _)) = records.last() else {
                self.index().note_compared_files();
                return Ok(corrected);
            };
            after = Some(*last);
            for (digest, file) in records {
                if !pace() {
                    return Ok(corrected);
                }
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

    /// Counts what is stored; see [`ContentStore::recount`](crate::store::content::ContentStore::recount).
    pub(in crate::store) fn recount(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        let groups = self.index().recount(pace)?;
        let differing = groups + usize::from(self.index().recount_files(self.manifests().usage())?);
        if differing > 0 {
            let what = format!("the totals of {groups} groups");
            damage::found(Kind::Count, self.index().folder(), what, "they were counted anew");
        }
        Ok(differing)
    }

    /// Records a file that was found. Returns true if it had no record. A file without content is gone, or will be.
    fn found(&self, digest: &Digest, kind: FileKind, size: u64) -> Result<bool, StoreError> {
        if size == 0 {
            return Ok(false);
        }
        self.index().found_file(self.manifests().usage(), digest, StoredFile { kind, size })
    }
}

#[cfg(test)]
mod tests;
