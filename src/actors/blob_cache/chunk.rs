//! The next chunk of a blob for a client: bytes in memory, or a file range for `sendfile(2)`.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use bytes::Bytes;

use crate::store::blobs::BlobFile;

/// A chunk: consecutive bytes of a blob that may be sent to the client.
pub enum Chunk {
    /// Bytes in the memory of this process.
    Bytes(Bytes),
    /// A range of the blob's file.
    FileRange(FileRange),
}

/// Transfer of bytes that are in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Copied, as small chunks in memory ([`Chunk::Bytes`]).
    Copy,
    /// Zero-copy, as large file ranges ([`Chunk::FileRange`]).
    ZeroCopy,
}

/// A file range that may be sent to the client and is in the page cache. It shrinks as its bytes are sent.
#[derive(Debug)]
pub struct FileRange {
    file: BlobFile,
    rest: Range<u64>,
    followed: bool,
}

impl Chunk {
    /// Returns the number of bytes of the chunk.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::FileRange(part) => part.length(),
        }
    }
}

impl FileRange {
    /// Creates a file range, which has to be in the page cache.
    pub(crate) fn new(file: BlobFile, range: Range<u64>) -> Self {
        Self { file, rest: range, followed: false }
    }

    /// Marks the range: the bytes that follow it may be sent at once, too.
    pub(crate) fn followed(self) -> Self {
        Self { followed: true, ..self }
    }

    /// Returns true if the bytes that follow may be sent at once, too. The kernel may then hold back a partial
    /// segment at the end of this range.
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// Returns the number of bytes that were not sent yet.
    pub fn length(&self) -> u64 {
        self.rest.end.saturating_sub(self.rest.start)
    }

    /// Sends as many bytes as the non-blocking socket accepts, but at most `max_bytes`, and returns their number.
    ///
    /// # Errors
    ///
    /// Fails with `WouldBlock` if the socket accepts no bytes now, and with `UnexpectedEof` if the file
    /// ends before the range.
    pub fn send_to(&mut self, socket: impl AsFd, max_bytes: usize) -> io::Result<u64> {
        let max_bytes = usize::try_from(self.length()).unwrap_or(usize::MAX).min(max_bytes);
        let sent = self.file.send_to(socket, self.rest.start, max_bytes)? as u64;
        if sent == 0 && max_bytes > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob's file is shorter than it was"));
        }
        self.rest.start += sent;
        Ok(sent)
    }
}
