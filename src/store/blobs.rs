//! Committed blobs: one read-only file each, found by its digest, in `blobs/sha256/ab/<hex>` below the cache folder. A file is
//! put there only by [`BlobFiles::commit`], whole and durable. Knows nothing of who may read it.

mod file;
mod verifying;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;

use super::damage::{self, Kind};
use super::durable;
use super::error::StoreError;
use super::room::Room;
use super::spool::SpoolFile;
use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;

pub use self::file::BlobFile;
pub use self::verifying::{Stamp, Verified, lower_priority};

const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// All committed blobs of this machine. Cheap to clone; its methods block.
#[derive(Clone, Debug)]
pub struct BlobFiles {
    folder: PathBuf,
    room: Room,
    /// What was asked for stays open, because opening a file may wait for the disk.
    open: Arc<Cache<Digest, StoredBlob>>,
}

/// A committed blob, open for reading.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// Its bytes.
    pub content: BlobContent,
    /// How many there are.
    pub length: u64,
}

/// Where the bytes of an open blob are.
#[derive(Clone, Debug)]
pub enum BlobContent {
    /// In its file.
    File(BlobFile),
    /// In memory, because they are few.
    Bytes(Bytes),
}

/// Blobs of at most so many bytes are kept in memory where others are kept open: most configurations of images are smaller.
const FEW: u64 = 16 << 10;

impl BlobFiles {
    /// The blobs below this cache folder, which is made where there is none. Keeps `open` of those that were asked for
    /// open, or in memory.
    pub fn open(cache_dir: &Path, min_free: MinFree, open: usize) -> Result<Self, StoreError> {
        let folder = cache_dir.join("blobs").join("sha256");
        durable::create_folder(&folder)?;
        let room = Room::new(&folder, min_free);
        Ok(Self { folder, room, open: Arc::new(Cache::new(open)) })
    }

    /// The same, where the reserve of the identities in this folder is not for blobs.
    pub fn beside_identities(mut self, data: &Path) -> Self {
        self.room = self.room.beside_identities(data);
        self
    }

    /// Opens a blob. A file of another length than `expected`, or without bytes although its digest is not that of nothing,
    /// is as good as none: it is fetched again and replaced.
    pub fn blob(&self, digest: &Digest, expected: Option<u64>) -> Result<Option<StoredBlob>, StoreError> {
        if let Some(blob) = self.already_open(digest, expected) {
            return Ok(Some(blob));
        }
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        let whole = match expected {
            Some(expected) => length == expected,
            None => length > 0 || digest.hex() == SHA256_OF_NOTHING,
        };
        if !whole {
            return Ok(None);
        }
        let file = BlobFile::new(file);
        let bytes = if length <= FEW { Some(file.read(0, length as usize)?) } else { None };
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == length);
        // So few are verified before they are kept in memory.
        if bytes.as_ref().is_some_and(|bytes| sha256::digest(bytes) != *digest) {
            let removed = self.remove(digest);
            damage::found(Kind::Blob, &self.path(digest), digest, "it is removed and fetched again");
            return removed.map(|_| None);
        }
        Ok(Some(self.keep_open(digest, &file, bytes, length)))
    }

    /// A blob as [`Self::blob`] gives it, if its file is open already or its bytes are in memory. Does not block.
    pub fn already_open(&self, digest: &Digest, expected: Option<u64>) -> Option<StoredBlob> {
        let blob = self.open.get(digest)?;
        if blob.is_in_place() {
            return Some(blob).filter(|blob| expected.is_none_or(|expected| expected == blob.length));
        }
        self.open.remove(digest);
        None
    }

    /// Closes files that somebody removed: nobody gets their space back before. Forgets their bytes, too. Blocks for a moment.
    pub fn close_removed(&self) {
        // Nobody who looks for a blob waits meanwhile.
        for (digest, blob) in self.open.iter() {
            if !(blob.is_in_place() && self.path(&digest).exists()) {
                self.open.remove(&digest);
            }
        }
    }

    fn keep_open(&self, digest: &Digest, file: &BlobFile, bytes: Option<Bytes>, length: u64) -> StoredBlob {
        let content = bytes.map_or_else(|| BlobContent::File(file.clone()), BlobContent::Bytes);
        let blob = StoredBlob { content, length };
        self.open.insert(*digest, blob.clone());
        // Looked at after the insertion: who removes the file from now on finds it.
        if !is_in_place(file, length) {
            self.open.remove(digest);
        }
        blob
    }

    /// Makes a verified spool file the blob of this digest: its bytes are forced to the disk, then it is renamed, then the
    /// folder is. A blob of that digest that was there is replaced by its equal.
    pub fn commit(&self, spooled: SpoolFile, digest: &Digest) -> Result<(), StoreError> {
        spooled.persist(&self.path(digest))?;
        self.open.remove(digest);
        Ok(())
    }

    /// Removes a blob durably. Who has it open reads on. Says whether it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let removed = durable::remove_file(&self.path(digest));
        // Nobody would get the space back while it is open.
        self.open.remove(digest);
        Ok(removed?)
    }

    /// The digests of all committed blobs, in no order.
    pub fn digests(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for_each_file(&self.folder, |digest, _| digests.push(digest))?;
        Ok(digests)
    }

    /// How many bytes more may be stored before the disk has less than the configured space left.
    pub fn room_left(&self) -> Result<u64, StoreError> {
        self.room.left()
    }

    /// Where they are stored, and how much may be.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// How many bytes the disk has left for anybody who is not root.
    pub fn free(&self) -> Result<u64, StoreError> {
        Ok(durable::free_bytes(&self.folder)?)
    }

    /// Where the file of this digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(&hex[..2]).join(hex)
    }
}

/// Calls this with every file below the folder of blobs that is called as a blob is.
fn for_each_file(folder: &Path, mut call: impl FnMut(Digest, &fs::DirEntry)) -> Result<(), StoreError> {
    for shelf in fs::read_dir(folder)? {
        let shelf = shelf?.path();
        if !shelf.is_dir() {
            continue;
        }
        for entry in fs::read_dir(shelf)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(digest) = name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok()) {
                call(digest, &entry);
            }
        }
    }
    Ok(())
}

impl StoredBlob {
    /// Whether it is still what has its name, as long as it was. Bytes in memory are what they were, whatever became of the file.
    fn is_in_place(&self) -> bool {
        match &self.content {
            BlobContent::File(file) => is_in_place(file, self.length),
            BlobContent::Bytes(_) => true,
        }
    }
}

/// Somebody may have tidied up by hand.
fn is_in_place(file: &BlobFile, length: u64) -> bool {
    file.status().is_ok_and(|now| now.st_nlink > 0 && u64::try_from(now.st_size) == Ok(length))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::store::spool::Spool;

    const DIGEST: Digest = Digest::from_bytes([7; 32]);

    fn committed(folder: &Path, bytes: &[u8]) -> BlobFiles {
        committed_as(folder, bytes, &DIGEST)
    }

    fn committed_as(folder: &Path, bytes: &[u8], digest: &Digest) -> BlobFiles {
        let blobs = BlobFiles::open(folder, MinFree::Percent(0), 8).unwrap();
        let spool = Spool::open(folder).unwrap();
        let spooled = spool.create().unwrap();
        spooled.write_at(0, bytes).unwrap();
        blobs.commit(spooled, digest).unwrap();
        blobs
    }

    fn file(blobs: &BlobFiles) -> BlobFile {
        match blobs.blob(&DIGEST, None).unwrap().unwrap().content {
            BlobContent::File(file) => file,
            BlobContent::Bytes(bytes) => unreachable!("{} bytes are kept in memory", bytes.len()),
        }
    }

    /// More than is kept in memory.
    static MANY: [u8; 2 * FEW as usize] = [b'm'; 2 * FEW as usize];

    #[test]
    fn a_committed_blob_is_found_by_its_digest_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), &MANY);
        assert_eq!(blobs.blob(&DIGEST, Some(2 * FEW)).unwrap().unwrap().length, 2 * FEW);
        let file = file(&blobs);
        assert_eq!(file.read(1, 4).unwrap(), "mmmm");
        assert_eq!(blobs.digests().unwrap(), [DIGEST]);
        assert_eq!(folder.path().join("spool").read_dir().unwrap().count(), 0);
        assert!(blobs.remove(&DIGEST).unwrap());
        assert!(blobs.blob(&DIGEST, None).unwrap().is_none());
        assert_eq!(file.read(0, 2).unwrap(), "mm");
    }

    #[test]
    fn a_small_blob_is_kept_in_memory_until_it_is_removed_or_replaced() {
        let (folder, digest) = (tempfile::tempdir().unwrap(), sha256::digest(b"hello"));
        let blobs = committed_as(folder.path(), b"hello", &digest);
        let bytes = |blobs: &BlobFiles| match blobs.blob(&digest, Some(5)).unwrap().map(|blob| blob.content) {
            Some(BlobContent::Bytes(bytes)) => Some(bytes),
            Some(BlobContent::File(_)) => unreachable!("it is small"),
            None => None,
        };
        assert_eq!(bytes(&blobs).unwrap(), "hello");
        fs::write(blobs.path(&digest), "what").unwrap();
        blobs.close_removed();
        assert_eq!(bytes(&blobs).unwrap(), "hello", "whatever is written over it");
        assert!(blobs.already_open(&digest, Some(6)).is_none());
        fs::remove_file(blobs.path(&digest)).unwrap();
        blobs.close_removed();
        assert_eq!(bytes(&blobs), None);

        let blobs = committed_as(folder.path(), b"hello", &digest);
        assert_eq!(bytes(&blobs).unwrap(), "hello");
        blobs.remove(&digest).unwrap();
        assert_eq!(bytes(&blobs), None);
    }

    #[test]
    fn a_small_blob_that_is_damaged_is_removed_before_it_is_kept_in_memory() {
        let (folder, digest) = (tempfile::tempdir().unwrap(), sha256::digest(b"hello"));
        for bit in 0..40 {
            let blobs = committed_as(folder.path(), b"hello", &digest);
            let mut damaged = *b"hello";
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(blobs.path(&digest), damaged).unwrap();
            assert!(blobs.blob(&digest, Some(5)).unwrap().is_none());
            assert!(!blobs.path(&digest).exists());
        }
    }

    #[test]
    fn what_a_power_cut_left_short_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), b"");
        assert!(blobs.blob(&DIGEST, None).unwrap().is_none());
        let blobs = committed(folder.path(), b"hel");
        assert!(blobs.blob(&DIGEST, Some(5)).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_open_is_not_opened_again_unless_something_happened_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (blobs, length) = (committed(folder.path(), &MANY), Some(2 * FEW));
        assert!(blobs.already_open(&DIGEST, length).is_none());
        blobs.blob(&DIGEST, length).unwrap().unwrap();
        assert_eq!(blobs.already_open(&DIGEST, length).map(|blob| blob.length), length);
        assert!(blobs.already_open(&DIGEST, Some(6)).is_none());
        File::options().write(true).open(blobs.path(&DIGEST)).unwrap().set_len(FEW + 1).unwrap();
        assert!(blobs.already_open(&DIGEST, length).is_none() && blobs.blob(&DIGEST, length).unwrap().is_none());
        blobs.blob(&DIGEST, None).unwrap().unwrap();
        fs::remove_file(blobs.path(&DIGEST)).unwrap();
        assert!(blobs.already_open(&DIGEST, None).is_none() && blobs.blob(&DIGEST, None).unwrap().is_none());
    }

    #[test]
    fn a_removed_blob_is_not_kept_open() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), &MANY);
        let watched = file(&blobs).downgrade();
        assert!(watched.upgrade().is_some());
        blobs.remove(&DIGEST).unwrap();
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn a_file_that_somebody_removed_is_closed_when_it_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), &MANY);
        let watched = file(&blobs).downgrade();
        blobs.close_removed();
        assert!(watched.upgrade().is_some());
        fs::remove_file(blobs.path(&DIGEST)).unwrap();
        blobs.close_removed();
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn room_is_what_the_disk_has_beyond_what_is_kept_free() {
        let folder = tempfile::tempdir().unwrap();
        let room = |min_free| BlobFiles::open(folder.path(), min_free, 8).unwrap().room_left().unwrap();
        assert!(room(MinFree::Bytes(0)) > 0);
        assert_eq!(room(MinFree::Bytes(u64::MAX)), 0);
        assert_eq!(room(MinFree::Percent(100)), 0);
    }
}
