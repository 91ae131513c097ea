//! Memory of its own for content that is large and held whole. The kernel has it back as soon as the content is dropped; the
//! allocator would keep it, once for each thread.

use std::io;

use bytes::Bytes;
use memmap2::MmapMut;

/// Content up to this length is left to the allocator.
pub const SMALL_BYTES: usize = 64 << 10;

/// A buffer with a maximum length. Pages that nothing was written to take no memory.
pub struct LargeBuffer {
    pages: MmapMut,
    length: usize,
}

impl LargeBuffer {
    /// An empty buffer for at most so many bytes.
    ///
    /// # Errors
    ///
    /// Fails where the kernel has no memory.
    pub fn with_capacity(bytes: usize) -> io::Result<Self> {
        Ok(Self { pages: MmapMut::map_anon(bytes.max(1))?, length: 0 })
    }

    /// Appends these bytes.
    ///
    /// # Errors
    ///
    /// Fails where they do not fit.
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let free = self.pages.get_mut(self.length..).unwrap_or_default();
        let target = free.get_mut(..bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        target.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    /// Reads a file that was `bytes` long when it was looked at, and no more of it.
    ///
    /// # Errors
    ///
    /// Fails as reading does, and where there is no memory. A shorter file gives what it has.
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

    /// Number of bytes that were written.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What was written to it, to be shared.
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
