//! Manifests as files, each with a small file that describes it: its media type and size. The bytes are those that
//! upstream sent. A manifest is used only if its bytes still have its digest and match the description.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::atomic_file;
use super::blobs::for_each_file;
use super::damage::{self, Kind};
use super::error::StoreError;
use super::free_space::FreeSpace;
use super::large_buffer::{LargeBuffer, SMALL_BYTES};
use super::usage::{FileKind, StoredFile, Usage};
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::domain::min_free::MinFree;

/// The folder of manifests. All methods block.
pub struct ManifestStore {
    folder: PathBuf,
    free_space: FreeSpace,
    usage: Usage,
}

/// A manifest and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The media type that upstream sent, without parameters.
    pub media_type: String,
    /// The bytes as upstream sent them.
    pub bytes: Bytes,
}

/// End of the name of a description, after the digest of its manifest.
const DESCRIPTION_SUFFIX: &str = ".json";

/// Maximum disk space in bytes that a manifest takes beside its bytes: for its description, and for the rounding of
/// both files to disk blocks.
const MAX_OVERHEAD_BYTES: u64 = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Description {
    media_type: String,
    size: u64,
}

impl Manifest {
    /// Creates a manifest of these bytes and computes its digest.
    pub fn new(media_type: String, bytes: Bytes) -> Self {
        Self { digest: sha256::digest(&bytes), media_type, bytes }
    }
}

impl ManifestStore {
    /// Returns the manifests below the cache folder.
    pub fn new(cache: &Path) -> Self {
        let folder = cache.join("manifests").join("sha256");
        let free_space = FreeSpace::new(&folder, MinFree::Bytes(0));
        Self { folder, free_space, usage: Usage::default() }
    }

    /// Returns the same manifests, counted in these totals.
    pub fn counted_in(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Returns the totals in which the manifests are counted.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Returns the digests of all stored manifests, in no particular order.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub fn digests(&self) -> Result<Vec<Digest>, StoreError> {
        self.digests_with("")
    }

    fn digests_with(&self, suffix: &str) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        if self.folder.exists() {
            for_each_file(&self.folder, suffix, |digest, _| digests.push(digest))?;
        }
        Ok(digests)
    }

    /// Removes the descriptions of manifests that are not stored, which killed processes have left, and returns their
    /// number. A manifest that is being stored may lose its description, which is written again once it is read.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read or a file cannot be removed.
    pub(in crate::store) fn remove_lone_descriptions(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        for digest in self.digests_with(DESCRIPTION_SUFFIX)? {
            let (file, description) = self.paths(&digest);
            let _changing = self.usage.changing(&digest);
            if !file.exists() {
                removed += usize::from(atomic_file::unlink(&description)?);
            }
        }
        Ok(removed)
    }

    /// Returns the same manifests, limited to this disk space.
    pub fn within(mut self, free_space: FreeSpace) -> Self {
        self.free_space = free_space;
        self
    }

    /// Returns the disk space that is available to the manifests.
    pub fn free_space(&self) -> &FreeSpace {
        &self.free_space
    }

    /// Stores a manifest. Once this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or a file cannot be written.
    pub fn put(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let (file, description) = self.paths(&manifest.digest);
        if file.exists() && description.exists() {
            return Ok(());
        }
        let size = manifest.bytes.len() as u64;
        self.free_space.check(size + MAX_OVERHEAD_BYTES)?;
        let text = serde_json::to_vec(&Description { media_type: manifest.media_type.clone(), size })?;
        atomic_file::write_file(&description, &text)?;
        let _changing = self.usage.changing(&manifest.digest);
        let is_new = !file.exists();
        atomic_file::write_file(&file, &manifest.bytes)?;
        if is_new {
            self.usage.stored(&manifest.digest, manifest_of(size));
        }
        Ok(())
    }

    /// Returns the manifest with this digest; `None` if it is not stored. A damaged manifest is reported and
    /// removed, and counts as missing.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks open files or memory, or if a damaged file cannot be removed.
    pub fn read(&self, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
        let (file, description) = self.paths(digest);
        let Some(bytes) = damage::readable(Kind::Manifest, &file, digest, read_large(&file))? else { return Ok(None) };
        let mut manifest = Manifest::new(String::new(), bytes);
        if manifest.digest != *digest {
            damage::found(Kind::Manifest, &file, digest, "it is removed and fetched again");
            self.remove(digest)?;
            return Ok(None);
        }
        let Some(media_type) = media_type(&manifest.bytes, &description, digest)? else {
            self.remove(digest)?;
            return Ok(None);
        };
        manifest.media_type = media_type;
        Ok(Some(manifest))
    }

    /// Returns the length of a manifest in bytes; 0 if it is not stored.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report the file's metadata.
    pub fn length(&self, digest: &Digest) -> Result<u64, StoreError> {
        match fs::metadata(self.paths(digest).0) {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a manifest, if it is stored.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.remove_with(digest, atomic_file::remove_file).map(drop)
    }

    /// As [`Self::remove`], but not durably: after a crash the manifest may be there again. Returns whether it was
    /// there.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub(in crate::store) fn evict(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.remove_with(digest, atomic_file::unlink)
    }

    fn remove_with(&self, digest: &Digest, remove: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, StoreError> {
        let (file, description) = self.paths(digest);
        let _changing = self.usage.changing(digest);
        let size = self.length(digest).unwrap_or_default();
        let removed = remove(&file)?;
        if removed {
            self.usage.removed(digest, manifest_of(size));
        }
        remove(&description)?;
        Ok(removed)
    }

    fn paths(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let hex = digest.hex();
        let folder = self.folder.join(&hex[..2]);
        (folder.join(&hex), folder.join(hex + DESCRIPTION_SUFFIX))
    }
}

fn manifest_of(size: u64) -> StoredFile {
    StoredFile { kind: FileKind::Manifest, size }
}

/// Reads a file. A large one gets memory of its own, which returns to the kernel as soon as the content is dropped.
fn read_large(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length <= SMALL_BYTES { Ok(Bytes::from(fs::read(path)?)) } else { LargeBuffer::read(file, length) }
}

/// Returns the media type of a manifest whose bytes were verified: from the description if the document agrees with
/// it, else from the document, and the description is rewritten. `None` if neither states one.
fn media_type(bytes: &[u8], description: &Path, digest: &Digest) -> Result<Option<String>, StoreError> {
    let text = damage::readable(Kind::Description, description, digest, fs::read(description))?;
    let size = bytes.len() as u64;
    if let Some(media_type) = described_type(bytes, text.as_deref()) {
        return Ok(Some(media_type));
    }
    let identified = manifest::identify(None, bytes).ok().map(|(media_type, _)| media_type);
    if text.is_some() {
        let remedy = if identified.is_some() { "it is rewritten" } else { "its manifest is fetched again" };
        damage::found(Kind::Description, description, digest, remedy);
    }
    if let Some(media_type) = identified.clone() {
        let text = serde_json::to_vec(&Description { media_type, size })?;
        // On a full disk the document is identified again the next time.
        if let Err(error) = atomic_file::write_small(description, &text) {
            tracing::debug!(%digest, %error, "a description could not be rewritten");
        }
    }
    Ok(identified)
}

/// Returns the media type in a description; `None` if the description is missing or damaged, or does not agree with the
/// bytes of the manifest.
pub(super) fn described_type(bytes: &[u8], description: Option<&[u8]>) -> Option<String> {
    let described = serde_json::from_slice::<Description>(description?).ok()?;
    let agrees = described.size == bytes.len() as u64 && manifest::identify(Some(&described.media_type), bytes).is_ok();
    agrees.then_some(described.media_type)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

    /// Returns a store with a manifest of these bytes.
    fn stored(cache: &Path, bytes: &'static str) -> (ManifestStore, Manifest) {
        let store = ManifestStore::new(cache);
        let manifest = Manifest::new(IMAGE.to_owned(), Bytes::from_static(bytes.as_bytes()));
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        store.put(&manifest).unwrap();
        (store, manifest)
    }

    #[test]
    fn a_manifest_is_read_back_as_it_was_and_a_damaged_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let (store, manifest) = stored(cache.path(), "{}");
        assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
        fs::write(store.paths(&manifest.digest).0, b"{ }").unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        assert!(!store.paths(&manifest.digest).0.exists());
    }

    #[test]
    fn a_description_without_a_manifest_is_removed_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = ManifestStore::new(folder.path());
        let manifests =
            [b"{}".as_slice(), b"[]"].map(|bytes| Manifest::new(IMAGE.to_owned(), Bytes::from_static(bytes)));
        manifests.iter().for_each(|manifest| store.put(manifest).unwrap());
        fs::remove_file(store.paths(&manifests[0].digest).0).unwrap();
        assert_eq!(store.remove_lone_descriptions().unwrap(), 1);
        assert_eq!(store.remove_lone_descriptions().unwrap(), 0);
        assert!(!store.paths(&manifests[0].digest).1.exists());
        assert!(store.paths(&manifests[1].digest).1.exists());
    }

    #[test]
    fn a_description_with_any_bit_flipped_never_changes_the_type() {
        let cache = tempfile::tempdir().unwrap();
        let config = format!("sha256:{}", "7".repeat(64));
        let typed = format!(r#"{{"mediaType":"{IMAGE}"}}"#);
        let untyped = format!(r#"{{"config":{{"digest":"{config}","size":2}}}}"#);
        for text in [typed, untyped] {
            let (store, manifest) = stored(cache.path(), text.leak());
            let description = store.paths(&manifest.digest).1;
            let whole = fs::read(&description).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                fs::write(&description, damaged).unwrap();
                assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest), "bit {bit}");
            }
            fs::remove_file(&description).unwrap();
            assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
            assert_eq!(fs::read(&description).unwrap(), whole, "it is there again");
        }
    }

    #[test]
    fn a_manifest_whose_type_nothing_tells_any_more_is_fetched_again() {
        let cache = tempfile::tempdir().unwrap();
        let (store, manifest) = stored(cache.path(), "{}");
        fs::write(store.paths(&manifest.digest).1, r#"{"media_type":"text/html","size":2}"#).unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        assert!(!store.paths(&manifest.digest).0.exists());
    }

    #[test]
    fn a_manifest_or_description_that_cannot_be_read_is_moved_aside_and_stored_again() {
        for described in [false, true] {
            let cache = tempfile::tempdir().unwrap();
            let (store, manifest) = stored(cache.path(), "{}");
            let (file, description) = store.paths(&manifest.digest);
            let path = if described { description } else { file };
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
            assert_eq!(store.read(&manifest.digest).unwrap(), None);
            store.put(&manifest).unwrap();
            assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
            assert!(path.is_file() && path.with_added_extension("damaged").is_dir());
        }
    }
}
