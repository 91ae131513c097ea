//! Manifests as files, each beside a small file with its media type and size. Byte for byte as upstream sent them; read
//! back only if they still have their digest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::durable;
use super::error::StoreError;
use super::large_buffer::{LargeBuffer, SMALL_BYTES};
use crate::auth::sha256;
use crate::domain::digest::Digest;

/// The folder of manifests. Everything blocks.
pub struct ManifestStore {
    folder: PathBuf,
}

/// A manifest whose bytes have its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The media type it came with, without parameters.
    pub media_type: String,
    /// The bytes as upstream sent them.
    pub bytes: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Description {
    media_type: String,
    size: u64,
}

impl Manifest {
    /// A manifest of these bytes.
    pub fn new(media_type: String, bytes: Bytes) -> Self {
        Self { digest: sha256::digest(&bytes), media_type, bytes }
    }
}

impl ManifestStore {
    /// The manifests below the folder of the cache.
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("manifests").join("sha256") }
    }

    /// Stores a manifest. Once this returns it is on the disk.
    pub fn put(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let (file, description) = self.paths(&manifest.digest);
        if file.exists() && description.exists() {
            return Ok(());
        }
        let size = manifest.bytes.len() as u64;
        let text = serde_json::to_vec(&Description { media_type: manifest.media_type.clone(), size })?;
        durable::write_file(&description, &text)?;
        Ok(durable::write_file(&file, &manifest.bytes)?)
    }

    /// The manifest with this digest. One that is damaged on the disk counts as not there.
    pub fn read(&self, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
        let (file, description) = self.paths(digest);
        let (Some(bytes), Some(text)) = (read_large(&file)?, read_if_there(&description)?) else { return Ok(None) };
        let Ok(Description { media_type, .. }) = serde_json::from_slice(&text) else { return Ok(None) };
        let manifest = Manifest::new(media_type, bytes);
        if manifest.digest != *digest {
            tracing::error!(%digest, "a stored manifest is damaged and will be fetched again");
            self.remove(digest)?;
            return Ok(None);
        }
        Ok(Some(manifest))
    }

    /// The length of a manifest in bytes; 0 where it is not there.
    pub fn length(&self, digest: &Digest) -> Result<u64, StoreError> {
        match fs::metadata(self.paths(digest).0) {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a manifest, if it is there.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let (file, description) = self.paths(digest);
        durable::remove_file(&file)?;
        durable::remove_file(&description)?;
        Ok(())
    }

    fn paths(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let hex = digest.hex();
        let folder = self.folder.join(&hex[..2]);
        (folder.join(&hex), folder.join(hex + ".json"))
    }
}

/// A file that may be large: then it gets memory that the kernel has back at once.
fn read_large(path: &Path) -> Result<Option<Bytes>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length <= SMALL_BYTES {
        return Ok(read_if_there(path)?.map(Bytes::from));
    }
    Ok(Some(LargeBuffer::read(file, length)?))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read?)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_as_it_was_and_a_damaged_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let store = ManifestStore::new(cache.path());
        let manifest = Manifest::new("application/json".to_owned(), Bytes::from_static(b"{}"));
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        store.put(&manifest).unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap().as_ref(), Some(&manifest));
        fs::write(store.paths(&manifest.digest).0, b"{ }").unwrap();
        assert_eq!(store.read(&manifest.digest).unwrap(), None);
        assert!(!store.paths(&manifest.digest).0.exists());
    }
}
