//! The file of a blob. Its bytes are copied into memory or sent to a socket, either without blocking where they are
//! in the kernel's page cache, or after waiting for the disk.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Advice, FallocateFlags, Stat, fadvise, fallocate, sendfile};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::error::StoreError;

/// Distance in bytes between the bytes that are probed to find whether a range is in the page cache. The kernel
/// loads and evicts neighbouring pages together.
const CACHE_PROBE_INTERVAL_BYTES: usize = 256 * 1024;

/// Number of bytes that the kernel is asked to read ahead (posix_fadvise(2), `POSIX_FADV_WILLNEED`).
const READ_AHEAD_BYTES: u64 = 8 * 1024 * 1024;

const LOAD_BUFFER_BYTES: usize = 128 * 1024;

/// Function that writes all of the bytes at an offset of a file, or fails.
pub type WriteAt = fn(&File, &[u8], u64) -> io::Result<()>;

/// The open file of a blob, committed or growing. Cheap to clone; stays readable when the file is renamed or removed.
#[derive(Clone, Debug)]
pub struct BlobFile(Arc<File>);

impl BlobFile {
    pub(in crate::store) fn new(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// Returns the number of copies of this handle.
    pub(in crate::store) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Returns up to `max_bytes` bytes from `offset`, fewer at the end of the file, if they are in the page cache;
    /// `None` if the read would wait for the disk. Never blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn read_cached(&self, offset: u64, max_bytes: usize) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = BytesMut::zeroed(max_bytes);
        Ok(self.read_nowait(&mut bytes, offset)?.map(|read| {
            bytes.truncate(read);
            bytes.freeze()
        }))
    }

    /// Returns true if these bytes are in the page cache, judged by samples. Never blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn is_cached(&self, range: &Range<u64>) -> Result<bool, StoreError> {
        let last = range.end.saturating_sub(1);
        for offset in range.clone().step_by(CACHE_PROBE_INTERVAL_BYTES).chain([last]) {
            if self.read_nowait(&mut [0], offset)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads these bytes into the page cache and starts read-ahead of the following ones. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn load(&self, range: &Range<u64>) -> Result<(), StoreError> {
        // An error is ignored: without read-ahead the loop below only takes longer.
        let _ = fadvise(&*self.0, range.start, NonZeroU64::new(READ_AHEAD_BYTES), Advice::WillNeed);
        let (mut buffer, mut offset) = (vec![0; LOAD_BUFFER_BYTES], range.start);
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

    /// Sends up to `max_bytes` bytes from `offset` to a non-blocking socket with sendfile(2), without copying them
    /// through this process. Returns the number of bytes sent, 0 only at the end of the file. Waits for the disk
    /// where they are not in the page cache.
    ///
    /// # Errors
    ///
    /// Fails with `WouldBlock` if the socket takes no bytes now. Fails if the file cannot be read or the socket
    /// cannot be written.
    pub fn send_to(&self, socket: impl AsFd, offset: u64, max_bytes: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(sendfile(socket, &*self.0, Some(&mut offset), max_bytes)?)
    }

    /// Reads bytes that are in the page cache, without waiting; `None` if they are not, or if that is unknown.
    fn read_nowait(&self, into: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match preadv2(&*self.0, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(Some(read)),
            // Not in the page cache; or the file system or kernel does not support `RWF_NOWAIT` (preadv2(2)).
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads up to `max_bytes` bytes from `offset`, fewer only at the end of the file. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn read(&self, offset: u64, max_bytes: usize) -> Result<Bytes, StoreError> {
        let mut bytes = BytesMut::zeroed(max_bytes);
        let mut filled = 0;
        while filled < max_bytes {
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

    pub(in crate::store) fn write_with(&self, write: WriteAt, bytes: &[u8], offset: u64) -> io::Result<()> {
        write(&self.0, bytes, offset)
    }

    pub(in crate::store) fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        Ok(fallocate(&*self.0, FallocateFlags::KEEP_SIZE, range.start, range.end.saturating_sub(range.start))?)
    }

    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Returns a weak reference, by which a test finds out whether the file is still open.
    #[cfg(test)]
    pub(in crate::store) fn downgrade(&self) -> std::sync::Weak<File> {
        Arc::downgrade(&self.0)
    }

    /// Returns the metadata of the open file, also after it was renamed or removed.
    pub(in crate::store) fn status(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&*self.0)?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(folder: &Path, bytes: &[u8]) -> BlobFile {
        let path = folder.join("blob");
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(path).unwrap();
        // The kernel evicts only pages that are already on the disk.
        file.sync_all().unwrap();
        BlobFile::new(file)
    }

    #[test]
    fn bytes_that_are_in_memory_are_read_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), b"hello");
        // A file system without `RWF_NOWAIT` yields `None`.
        assert!(file.read_cached(1, 3).unwrap().is_none_or(|bytes| bytes == "ell"));
    }

    #[test]
    fn what_is_not_in_memory_can_be_brought_in() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..700_000).map(|n| (n / 3) as u8).collect();
        let file = file(folder.path(), &content);
        let (whole, part) = (0..content.len() as u64, 300_000..content.len() as u64);
        let can_tell = file.is_cached(&whole).unwrap();
        // The kernel does not evict a page that it uses at this moment, so the eviction is requested again.
        let is_evicted = (0..100).any(|_| {
            fadvise(&*file.0, 0, None, Advice::DontNeed).unwrap();
            let is_cached = file.is_cached(&part).unwrap();
            if is_cached {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            !is_cached
        });
        assert!(!can_tell || is_evicted, "the kernel was asked to evict it");
        file.load(&part).unwrap();
        // A file system without `RWF_NOWAIT` never reports bytes as cached.
        assert_eq!(file.is_cached(&part).unwrap(), can_tell);
        assert_eq!(file.read(300_000, 1_000_000).unwrap(), content[300_000..]);
    }
}
