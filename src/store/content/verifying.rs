//! Operations that compare what is stored with what is known of it. They block the calling thread, for as long as
//! `pace` makes them: it is called before each file, may wait, and returns false to stop.

use super::ContentStore;
use crate::domain::digest::Digest;
use crate::store::blobs::BlobFiles;
use crate::store::error::StoreError;

impl ContentStore {
    /// Compares the index with its files and corrects it, once after a start.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks open files or memory.
    pub fn verify(&self) -> Result<usize, StoreError> {
        self.engine().index().check_against_files()
    }

    /// Returns the digests of all stored manifests.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub fn manifests(&self) -> Result<Vec<Digest>, StoreError> {
        self.engine().manifests().digests()
    }

    /// Verifies a manifest and its description. A damaged manifest is reported and removed, so that it is fetched
    /// again; a damaged description is written again. Returns the length of the manifest in bytes; 0 if it is not
    /// stored.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks open files or memory, or if a damaged file cannot be removed.
    pub fn verify_manifest(&self, digest: &Digest) -> Result<u64, StoreError> {
        let _change = self.engine().closing().begin()?;
        let manifest = self.engine().manifests().read(digest)?;
        Ok(manifest.map_or(0, |manifest| manifest.bytes.len() as u64))
    }

    /// Compares the index with its files, and the records of stored files with these, while both are used, and corrects
    /// the index. Returns the number of corrections.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read, or if the process lacks open files or memory.
    pub fn verify_again(&self, blobs: &BlobFiles, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        let entries = self.engine().index().check_again(pace)?;
        Ok(entries + self.engine().reconcile(blobs, pace)?)
    }

    /// Counts anew what is stored, of each group and in total, and corrects what is counted. Returns the number of
    /// groups that had other totals; the whole store counts as one.
    ///
    /// # Errors
    ///
    /// Does not fail at present: where the index cannot be read, nothing is corrected.
    pub fn recount(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        self.engine().recount(pace)
    }
}
