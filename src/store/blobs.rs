//! Committed blobs: one read-only file each, found by its digest, in `blobs/sha256/ab/<hex>` below the cache folder. A file is
//! put there only by [`BlobFiles::commit`], whole and durable. Knows nothing of who may read it.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::durable;
use super::error::StoreError;
use super::spool::{SpoolFile, WriteAt};
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;

const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// All committed blobs of this machine. Cheap to clone; its methods block.
#[derive(Clone, Debug)]
pub struct BlobFiles {
    folder: PathBuf,
    min_free: MinFree,
}

/// A committed blob, open for reading.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// Its bytes.
    pub file: BlobFile,
    /// How many there are.
    pub length: u64,
}

/// The open file of a blob, committed or growing. Cheap to clone; stays readable when the file is renamed or removed.
#[derive(Clone, Debug)]
pub struct BlobFile(Arc<File>);

impl BlobFiles {
    /// The blobs below this cache folder, which is made where there is none.
    pub fn open(cache_dir: &Path, min_free: MinFree) -> Result<Self, StoreError> {
        let folder = cache_dir.join("blobs").join("sha256");
        durable::create_folder(&folder)?;
        Ok(Self { folder, min_free })
    }

    /// Opens a blob. A file of another length than `expected`, or without bytes although its digest is not that of nothing,
    /// is as good as none: it is fetched again and replaced.
    pub fn blob(&self, digest: &Digest, expected: Option<u64>) -> Result<Option<StoredBlob>, StoreError> {
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
        Ok(whole.then(|| StoredBlob { file: BlobFile::new(file), length }))
    }

    /// Makes a verified spool file the blob of this digest: its bytes are forced to the disk, then it is renamed, then the
    /// folder is. A blob of that digest that was there is replaced by its equal.
    pub fn commit(&self, spooled: SpoolFile, digest: &Digest) -> Result<(), StoreError> {
        spooled.persist(&self.path(digest))?;
        Ok(())
    }

    /// Removes a blob durably. Who has it open reads on. Says whether it was there.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(durable::remove_file(&self.path(digest))?)
    }

    /// The digests of all committed blobs, in no order.
    pub fn digests(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for shelf in fs::read_dir(&self.folder)? {
            let shelf = shelf?.path();
            if shelf.is_dir() {
                for entry in fs::read_dir(shelf)? {
                    let name = entry?.file_name();
                    digests.extend(name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok()));
                }
            }
        }
        Ok(digests)
    }

    /// How many bytes more may be stored before the disk has less than the configured space left.
    pub fn room(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(&self.folder).map_err(io::Error::from)?;
        let kept = self.min_free.of(disk.f_blocks.saturating_mul(disk.f_frsize));
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(kept))
    }

    /// How many bytes the disk has left for anybody who is not root.
    pub fn free(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(&self.folder).map_err(io::Error::from)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Where the file of this digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(&hex[..2]).join(hex)
    }
}

impl BlobFile {
    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// Up to `most` bytes from `offset` on, fewer at the end, if they are in memory; `None` where the disk would have to be
    /// waited for. Never blocks.
    pub fn read_cached(&self, offset: u64, most: usize) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = BytesMut::zeroed(most);
        match preadv2(&*self.0, &mut [IoSliceMut::new(&mut bytes)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => {
                bytes.truncate(read);
                Ok(Some(bytes.freeze()))
            }
            // Not in memory; or a file system or kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Up to `most` bytes from `offset` on, fewer only at the end. Blocks.
    pub fn read(&self, offset: u64, most: usize) -> Result<Bytes, StoreError> {
        let mut bytes = BytesMut::zeroed(most);
        let mut filled = 0;
        while filled < most {
            match self.0.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.freeze())
    }

    pub(super) fn write_with(&self, write: WriteAt, bytes: &[u8], offset: u64) -> io::Result<()> {
        write(&self.0, bytes, offset)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl AsFd for BlobFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::store::spool::Spool;

    const DIGEST: Digest = Digest::from_bytes([7; 32]);

    fn committed(folder: &Path, bytes: &[u8]) -> BlobFiles {
        let blobs = BlobFiles::open(folder, MinFree::Percent(0)).unwrap();
        let spool = Spool::open(folder).unwrap();
        let spooled = spool.create().unwrap();
        spooled.write_at(0, bytes).unwrap();
        blobs.commit(spooled, &DIGEST).unwrap();
        blobs
    }

    #[test]
    fn a_committed_blob_is_found_by_its_digest_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), b"hello");
        let blob = blobs.blob(&DIGEST, Some(5)).unwrap().unwrap();
        assert_eq!(blob.length, 5);
        assert_eq!(blob.file.read(1, 10).unwrap(), "ello");
        assert_eq!(blobs.digests().unwrap(), [DIGEST]);
        assert_eq!(folder.path().join("spool").read_dir().unwrap().count(), 0);
        assert!(blobs.remove(&DIGEST).unwrap());
        assert!(blobs.blob(&DIGEST, None).unwrap().is_none());
        assert_eq!(blob.file.read(0, 2).unwrap(), "he");
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
    fn bytes_that_are_in_memory_are_read_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let blob = committed(folder.path(), b"hello").blob(&DIGEST, None).unwrap().unwrap();
        // A file system that cannot tell says `None`.
        assert!(blob.file.read_cached(1, 3).unwrap().is_none_or(|bytes| bytes == "ell"));
    }

    #[test]
    fn room_is_what_the_disk_has_beyond_what_is_kept_free() {
        let folder = tempfile::tempdir().unwrap();
        let room = |min_free| BlobFiles::open(folder.path(), min_free).unwrap().room().unwrap();
        assert!(room(MinFree::Bytes(0)) > 0);
        assert_eq!(room(MinFree::Bytes(u64::MAX)), 0);
        assert_eq!(room(MinFree::Percent(100)), 0);
    }
}
