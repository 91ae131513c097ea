//! Committed blobs: one read-only file each, found by its digest, in `blobs/sha256/ab/<hex>` below the cache folder. A file is
//! put there only by [`BlobFiles::commit`], whole and durable. Knows nothing of who may read it.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quick_cache::sync::Cache;
use rustix::fs::{Advice, fadvise, sendfile};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::durable;
use super::error::StoreError;
use super::spool::{SpoolFile, WriteAt};
use crate::domain::digest::Digest;
use crate::domain::min_free::MinFree;

/// Whether a range is in memory is told by a byte in each so many of it: the kernel brings in and drops neighbours together.
const LOOK_EVERY: usize = 256 * 1024;

/// The disk is asked for so many bytes at once.
const LOAD_AHEAD: u64 = 4 * 1024 * 1024;

const LOAD_BUFFER: usize = 128 * 1024;

const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// All committed blobs of this machine. Cheap to clone; its methods block.
#[derive(Clone, Debug)]
pub struct BlobFiles {
    folder: PathBuf,
    min_free: MinFree,
    /// Files that stay open, because opening one may wait for the disk.
    open: Arc<Cache<Digest, StoredBlob>>,
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
    /// The blobs below this cache folder, which is made where there is none. Keeps `open` of the files open that were asked for.
    pub fn open(cache_dir: &Path, min_free: MinFree, open: usize) -> Result<Self, StoreError> {
        let folder = cache_dir.join("blobs").join("sha256");
        durable::create_folder(&folder)?;
        Ok(Self { folder, min_free, open: Arc::new(Cache::new(open)) })
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
        Ok(whole.then(|| self.keep_open(digest, StoredBlob { file: BlobFile::new(file), length })))
    }

    /// A blob as [`Self::blob`] gives it, if its file is open already. Does not block.
    pub fn already_open(&self, digest: &Digest, expected: Option<u64>) -> Option<StoredBlob> {
        let blob = self.open.get(digest)?;
        if blob.is_in_place() {
            return Some(blob).filter(|blob| expected.is_none_or(|expected| expected == blob.length));
        }
        self.open.remove(digest);
        None
    }

    /// Closes files that somebody removed: nobody gets their space back before.
    pub fn close_removed(&self) {
        self.open.retain(|_, blob| blob.is_in_place());
    }

    fn keep_open(&self, digest: &Digest, blob: StoredBlob) -> StoredBlob {
        self.open.insert(*digest, blob.clone());
        // Looked at after the insertion: who removes the file from now on finds it.
        if !blob.is_in_place() {
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

impl StoredBlob {
    /// Whether it is still what has its name, as long as it was. Somebody may have tidied up by hand.
    fn is_in_place(&self) -> bool {
        rustix::fs::fstat(&*self.file.0)
            .is_ok_and(|now| now.st_nlink > 0 && u64::try_from(now.st_size) == Ok(self.length))
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
        Ok(self.read_now(&mut bytes, offset)?.map(|read| {
            bytes.truncate(read);
            bytes.freeze()
        }))
    }

    /// Whether these bytes are in memory, as far as a look at some of them tells. Never blocks.
    pub fn is_cached(&self, range: &Range<u64>) -> Result<bool, StoreError> {
        let last = range.end.saturating_sub(1);
        for offset in range.clone().step_by(LOOK_EVERY).chain([last]) {
            if self.read_now(&mut [0], offset)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings these bytes into memory, and lets the disk begin with those that follow. Blocks.
    pub fn load(&self, range: &Range<u64>) -> Result<(), StoreError> {
        // A file system without read-ahead merely takes longer.
        let _ = fadvise(&*self.0, range.start, NonZeroU64::new(LOAD_AHEAD), Advice::WillNeed);
        let (mut buffer, mut offset) = (vec![0; LOAD_BUFFER], range.start);
        while offset < range.end {
            match self.0.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(read) => offset += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends up to `most` bytes from `offset` on to a socket that does not block, without their passing through this process.
    /// Gives how many it took, 0 only at the file's end. What is not in memory is waited for.
    pub fn send_to(&self, socket: impl AsFd, offset: u64, most: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(sendfile(socket, &*self.0, Some(&mut offset), most)?)
    }

    /// Reads what is in memory, without waiting for anything; `None` where that cannot be told.
    fn read_now(&self, into: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match preadv2(&*self.0, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(Some(read)),
            // Not in memory; or a file system or kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::store::spool::Spool;

    const DIGEST: Digest = Digest::from_bytes([7; 32]);

    fn committed(folder: &Path, bytes: &[u8]) -> BlobFiles {
        let blobs = BlobFiles::open(folder, MinFree::Percent(0), 8).unwrap();
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
    fn a_file_that_is_open_is_not_opened_again_unless_something_happened_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), b"hello");
        assert!(blobs.already_open(&DIGEST, Some(5)).is_none());
        blobs.blob(&DIGEST, Some(5)).unwrap().unwrap();
        assert_eq!(blobs.already_open(&DIGEST, Some(5)).unwrap().length, 5);
        assert!(blobs.already_open(&DIGEST, Some(6)).is_none());
        File::options().write(true).open(blobs.path(&DIGEST)).unwrap().set_len(3).unwrap();
        assert!(blobs.already_open(&DIGEST, Some(5)).is_none() && blobs.blob(&DIGEST, Some(5)).unwrap().is_none());
        blobs.blob(&DIGEST, None).unwrap().unwrap();
        fs::remove_file(blobs.path(&DIGEST)).unwrap();
        assert!(blobs.already_open(&DIGEST, None).is_none() && blobs.blob(&DIGEST, None).unwrap().is_none());
    }

    #[test]
    fn a_removed_blob_is_not_kept_open() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), b"hello");
        let watched = Arc::downgrade(&blobs.blob(&DIGEST, None).unwrap().unwrap().file.0);
        assert!(watched.upgrade().is_some());
        blobs.remove(&DIGEST).unwrap();
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn a_file_that_somebody_removed_is_closed_when_it_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = committed(folder.path(), b"hello");
        let watched = Arc::downgrade(&blobs.blob(&DIGEST, None).unwrap().unwrap().file.0);
        blobs.close_removed();
        assert!(watched.upgrade().is_some());
        fs::remove_file(blobs.path(&DIGEST)).unwrap();
        blobs.close_removed();
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn bytes_that_are_in_memory_are_read_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let blob = committed(folder.path(), b"hello").blob(&DIGEST, None).unwrap().unwrap();
        // A file system that cannot tell says `None`.
        assert!(blob.file.read_cached(1, 3).unwrap().is_none_or(|bytes| bytes == "ell"));
    }

    #[test]
    fn what_is_not_in_memory_can_be_brought_in() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..700_000).map(|n| (n / 3) as u8).collect();
        let file = committed(folder.path(), &content).blob(&DIGEST, None).unwrap().unwrap().file;
        let (whole, part) = (0..content.len() as u64, 300_000..content.len() as u64);
        let tells = file.is_cached(&whole).unwrap();
        fadvise(&*file.0, 0, None, Advice::DontNeed).unwrap();
        assert!(!tells || !file.is_cached(&part).unwrap(), "the kernel was told to forget it");
        file.load(&part).unwrap();
        // A file system that cannot tell never says so.
        assert_eq!(file.is_cached(&part).unwrap(), tells);
        assert_eq!(file.read(300_000, 1_000_000).unwrap(), content[300_000..]);
    }

    #[test]
    fn room_is_what_the_disk_has_beyond_what_is_kept_free() {
        let folder = tempfile::tempdir().unwrap();
        let room = |min_free| BlobFiles::open(folder.path(), min_free, 8).unwrap().room().unwrap();
        assert!(room(MinFree::Bytes(0)) > 0);
        assert_eq!(room(MinFree::Bytes(u64::MAX)), 0);
        assert_eq!(room(MinFree::Percent(100)), 0);
    }
}
