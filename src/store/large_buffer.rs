//! Separate memory mappings for large content that is held in memory as a whole. The memory returns to the kernel
//! as soon as the content is dropped; the allocator would keep it, once for each thread.

use std::io;

use bytes::Bytes;
use memmap2::MmapMut;

/// Maximum length in bytes of content that is left to the allocator.
pub const SMALL_BYTES: usize = 64 << 10;

/// A buffer with a maximum length. Pages that were not written to take no memory.
pub struct LargeBuffer {
    pages: MmapMut,
    length: usize,
}

impl LargeBuffer {
    /// Creates an empty buffer for at most `bytes` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no memory left.
    pub fn with_capacity(bytes: usize) -> io::Result<Self> {
        Ok(Self { pages: MmapMut::map_anon(bytes.max(1))?, length: 0 })
    }

    /// Appends these bytes.
    ///
    /// # Errors
    ///
    /// Fails if the bytes do not fit.
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let free = self.pages.get_mut(self.length..).unwrap_or_default();
        let target = free.get_mut(..bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        target.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    /// Reads at most `bytes` bytes of a file, the length that it had when it was opened. A file that is shorter by
    /// now yields what it has.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or if the kernel has no memory left.
    pub fn read(mut file: impl io::Read, bytes: usize) -> io::Result<Bytes> {
        let mut buffer = Self::with_capacity(bytes)?;
        while buffer.length < bytes {
            match file.read(buffer.pages.get_mut(buffer.length..bytes).unwrap_or_default())? {
                0 => break,
                read => buffer.length += read,
            }
        }
        Ok(buffer.freeze())
    }

    /// Returns the number of bytes written so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the written bytes, which can be shared without a copy.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self.pages).slice(..self.length)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_appended_and_no_more_than_its_capacity() {
        let mut buffer = LargeBuffer::with_capacity(5).unwrap();
        buffer.extend(b"abc").unwrap();
        assert!(buffer.extend(b"def").is_err());
        buffer.extend(b"de").unwrap();
        assert_eq!(buffer.freeze(), Bytes::from_static(b"abcde"));
        assert!(LargeBuffer::with_capacity(0).unwrap().freeze().is_empty());
    }

    #[test]
    fn a_file_is_read_as_far_as_it_was_long() {
        assert_eq!(LargeBuffer::read(&b"abcdef"[..], 4).unwrap(), Bytes::from_static(b"abcd"));
        assert_eq!(LargeBuffer::read(&b"ab"[..], 4).unwrap(), Bytes::from_static(b"ab"));
    }
}
