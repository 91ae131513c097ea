//! Message framing of HTTP/1: finds the end of each request in a stream of bytes (RFC 9112, sections 2.2, 6 and
//! 7.1). Does not validate requests. One that the parser behind it refuses ends the connection there, wherever this
//! module sees its end.

mod head;

use memchr::memchr;

use self::head::{Body, Head};
use crate::http::EXAMINED_BYTES;

/// Framing of the present request.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of an incomplete line, at most [`MAX_LINE_BYTES`] of it.
    line: Vec<u8>,
    /// The beginning of the request line, at most [`EXAMINED_BYTES`] of it.
    start: Vec<u8>,
    /// The last byte of that line so far, however long the line is.
    last_byte: Option<u8>,
    /// The end of a request line that arrives in several reads, at most [`VERSION_BYTES`] of it.
    line_end: Vec<u8>,
    head: Head,
    complete: bool,
    fault: Option<Fault>,
    /// Number of bytes of chunk sizes, chunk extensions, trailers and line ends in the present request.
    around_chunks: u64,
    /// Number of bytes of the chunks themselves.
    in_chunks: u64,
}

/// Fault of a request that ends the connection before the parser sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The name of a header is too long. actix-http panics if a name has 64 KiB.
    LongName,
    /// Chunk sizes, chunk extensions and trailers are longer than [`MAX_AROUND_CHUNKS`] and the chunks together.
    /// The parser would read them without limit.
    LongFraming,
    /// A chunk size with its extensions has [`MAX_LINE_BYTES`] or more, or it or a trailer ends without a carriage
    /// return. The parser would find another end of the request.
    MalformedFraming,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte of a request. Empty lines are skipped (RFC 9112, section 2.2).
    #[default]
    Start,
    RequestLine,
    Headers,
    /// In a body, of which this number of bytes remains.
    Body(u64),
    ChunkSize,
    /// In a chunk, of which this number of bytes remains, including the line end after it.
    Chunk(u64),
    Trailers,
    /// The end is not known: all further bytes belong to this request.
    Unframed,
}

/// Maximum number of bytes of a line that are examined. The lines that matter here are shorter, and so is the name
/// of every header.
const MAX_LINE_BYTES: usize = 256;
/// Length in bytes of the version and the line end after it.
const VERSION_BYTES: usize = 10;
/// Maximum length in bytes of chunk sizes, chunk extensions and trailers of a request, in addition to the length of
/// its chunks.
const MAX_AROUND_CHUNKS: u64 = 16 << 10;

impl Framing {
    /// Returns the number of these bytes, the next of the stream, that belong to the present request: all of them
    /// unless it ends before. Must not be called while the request [is complete](Self::is_complete).
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.complete && self.fault.is_none() {
            taken += self.step(&bytes[taken..]);
        }
        taken
    }

    /// Returns true if the present request has ended.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns true if the connection closes after the response to the present request, according to the part of
    /// its head that was seen.
    pub(super) fn is_last(&self) -> bool {
        self.head.is_last()
    }

    /// Returns the fault of the present request, if any. The parser must get nothing more then.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Returns the beginning of the present request line, or of the last one if no request has begun since.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// Returns true if the present request has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        !self.complete && self.state != State::Start
    }

    /// Begins the next request.
    pub(super) fn next(&mut self) {
        self.complete = false;
        (self.around_chunks, self.in_chunks) = (0, 0);
    }

    /// Processes at least one byte. Returns the number of bytes.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Start if matches!(bytes[0], b'\r' | b'\n') => 1,
            State::Start => {
                self.start.clear();
                self.state = State::RequestLine;
                self.take_line(bytes)
            }
            State::RequestLine | State::Headers => self.take_line(bytes),
            State::ChunkSize | State::Trailers => {
                if !self.has_sound_line(bytes) {
                    self.fault = Some(Fault::MalformedFraming);
                }
                let taken = self.take_line(bytes);
                self.around_chunks += taken as u64;
                if self.around_chunks > MAX_AROUND_CHUNKS.saturating_add(self.in_chunks) {
                    self.fault = Some(Fault::LongFraming);
                }
                taken
            }
            State::Body(left) => {
                let (taken, left) = take_of(left, bytes);
                self.state = State::Body(left);
                if left == 0 {
                    self.end();
                }
                taken
            }
            State::Chunk(left) => {
                let (taken, left) = take_of(left, bytes);
                self.state = if left == 0 { State::ChunkSize } else { State::Chunk(left) };
                taken
            }
            State::Unframed => bytes.len(),
        }
    }

    /// Returns true if the line of a chunk size or a trailer, as far as it has arrived, has the form that the
    /// parser accepts.
    fn has_sound_line(&mut self, bytes: &[u8]) -> bool {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let is_long = self.line.len() + part.len() >= MAX_LINE_BYTES;
        let last = part.last().copied().or(self.last_byte);
        self.last_byte = if end.is_none() { last } else { None };
        (end.is_none() || last == Some(b'\r')) && !(is_long && self.state == State::ChunkSize)
    }

    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if end.is_none() || !self.line.is_empty() {
            let kept = part.len().min(MAX_LINE_BYTES.saturating_sub(self.line.len()));
            self.line.extend_from_slice(&part[..kept]);
        }
        if self.state == State::Headers {
            let begun = if self.line.is_empty() { part } else { &self.line };
            if begun.get(..MAX_LINE_BYTES).is_some_and(|name| memchr(b':', name).is_none()) {
                self.fault = Some(Fault::LongName);
            }
        }
        if self.state == State::RequestLine {
            let kept = end.map_or(part.len(), |end| end + 1).min(EXAMINED_BYTES - self.start.len());
            self.start.extend_from_slice(&bytes[..kept]);
        }
        if self.state == State::RequestLine && (end.is_none() || !self.line_end.is_empty()) {
            self.line_end.extend_from_slice(&part[part.len().saturating_sub(VERSION_BYTES)..]);
            self.line_end.drain(..self.line_end.len().saturating_sub(VERSION_BYTES));
        }
        let Some(end) = end else { return bytes.len() };
        if self.state == State::RequestLine {
            let line_end = std::mem::take(&mut self.line_end);
            self.head.version(if line_end.is_empty() { part } else { &line_end });
        }
        if self.line.is_empty() {
            self.end_of_line(&part[..part.len().min(MAX_LINE_BYTES)]);
        } else {
            let line = std::mem::take(&mut self.line);
            self.end_of_line(&line);
        }
        end + 1
    }

    fn end_of_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::RequestLine => {
                self.head.request_line(line);
                self.state = State::Headers;
            }
            State::Headers if line.is_empty() => self.end_of_head(),
            State::Headers => self.head.header(line),
            State::ChunkSize => {
                self.state = match chunk_size(line) {
                    Some(0) => State::Trailers,
                    Some(size) => {
                        self.in_chunks = self.in_chunks.saturating_add(size);
                        self.around_chunks += 2;
                        State::Chunk(size.saturating_add(2))
                    }
                    None => State::Unframed,
                };
            }
            State::Trailers if line.is_empty() => self.end(),
            State::Start | State::Body(_) | State::Chunk(_) | State::Trailers | State::Unframed => {}
        }
    }

    fn end_of_head(&mut self) {
        match self.head.body() {
            Body::None | Body::Length(0) => self.end(),
            Body::Length(length) => self.state = State::Body(length),
            Body::Chunked => self.state = State::ChunkSize,
            Body::Unframed => self.state = State::Unframed,
        }
    }

    fn end(&mut self) {
        self.state = State::Start;
        self.complete = true;
    }
}

/// Takes as many of the `left` bytes as there are. Returns their number, and the number that remains.
fn take_of(left: u64, bytes: &[u8]) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (taken, left - taken as u64)
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
