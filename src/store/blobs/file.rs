//! The file of a blob, and the ways of its bytes: to memory or to a socket, at once where the kernel has them, or after the disk.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Advice, Stat, fadvise, sendfile};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::store::error::StoreError;
use crate::store::spool::WriteAt;

/// Whether a range is in memory is told by a byte in each so many of it: the kernel brings in and drops neighbours together.
const LOOK_EVERY: usize = 256 * 1024;

/// The disk is asked for so many bytes at once.
const LOAD_AHEAD: u64 = 8 * 1024 * 1024;

const LOAD_BUFFER: usize = 128 * 1024;

/// The open file of a blob, committed or growing. Cheap to clone; stays readable when the file is renamed or removed.
#[derive(Clone, Debug)]
pub struct BlobFile(Arc<File>);

impl BlobFile {
    pub(in crate::store) fn new(file: File) -> Self {
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

    pub(in crate::store) fn write_with(&self, write: WriteAt, bytes: &[u8], offset: u64) -> io::Result<()> {
        write(&self.0, bytes, offset)
    }

    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Tells whether anybody has it open still.
    #[cfg(test)]
    pub(super) fn downgrade(&self) -> std::sync::Weak<File> {
        Arc::downgrade(&self.0)
    }

    /// What the system says of the file now, whatever it is called.
    pub(super) fn status(&self) -> io::Result<Stat> {
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
        // The kernel forgets nothing that is not on the disk.
        file.sync_all().unwrap();
        BlobFile::new(file)
    }

    #[test]
    fn bytes_that_are_in_memory_are_read_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), b"hello");
        // A file system that cannot tell says `None`.
        assert!(file.read_cached(1, 3).unwrap().is_none_or(|bytes| bytes == "ell"));
    }

    #[test]
    fn what_is_not_in_memory_can_be_brought_in() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..700_000).map(|n| (n / 3) as u8).collect();
        let file = file(folder.path(), &content);
        let (whole, part) = (0..content.len() as u64, 300_000..content.len() as u64);
        let tells = file.is_cached(&whole).unwrap();
        fadvise(&*file.0, 0, None, Advice::DontNeed).unwrap();
        assert!(!tells || !file.is_cached(&part).unwrap(), "the kernel was told to forget it");
        file.load(&part).unwrap();
        // A file system that cannot tell never says so.
        assert_eq!(file.is_cached(&part).unwrap(), tells);
        assert_eq!(file.read(300_000, 1_000_000).unwrap(), content[300_000..]);
    }
}
