//! What leaves of a blob next: bytes that were read, or a part of its file that can be sent without being read.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use bytes::Bytes;

use crate::store::blobs::BlobFile;

/// Some consecutive bytes of a blob that may be given out.
pub enum Piece {
    /// In memory of this process.
    Bytes(Bytes),
    /// In a file.
    Part(Part),
}

/// How bytes that are in a file are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giving {
    /// Read, a small [`Piece::Bytes`] at a time.
    Read,
    /// As [`Piece::Part`], much at a time.
    Lend,
}

/// A part of a blob's file that may be given out and is in the kernel's memory; shorter by what was sent of it.
#[derive(Debug)]
pub struct Part {
    file: BlobFile,
    rest: Range<u64>,
    followed: bool,
}

impl Piece {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part(part) => part.length(),
        }
    }
}

impl Part {
    /// This range of a file, which has to be in memory.
    pub(crate) fn new(file: BlobFile, range: Range<u64>) -> Self {
        Self { file, rest: range, followed: false }
    }

    /// The same, where what follows it may be given out at once, too.
    pub(crate) fn followed(self) -> Self {
        Self { followed: true, ..self }
    }

    /// Whether what follows it may be given out at once, too, so that its end need not be sent before that.
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// How many bytes of it were not sent yet.
    pub fn length(&self) -> u64 {
        self.rest.end.saturating_sub(self.rest.start)
    }

    /// Sends as much as a socket that does not block takes, and says how much that was. A file that ends before its part does
    /// is an error.
    pub fn send_to(&mut self, socket: impl AsFd) -> io::Result<u64> {
        let most = usize::try_from(self.length()).unwrap_or(usize::MAX);
        let sent = self.file.send_to(socket, self.rest.start, most)? as u64;
        if sent == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob's file is shorter than it was"));
        }
        self.rest.start += sent;
        Ok(sent)
    }
}
