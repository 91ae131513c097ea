//! Message framing of HTTP/1: finds the end of each request in a stream of bytes (RFC 9112, sections 2.2, 6 and
//! 7.1). Does not validate requests. One that the parser behind it refuses ends the connection there, wherever this
//! module sees its end.

use memchr::memchr;

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
    body: Body,
    persistence: Persistence,
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

/// Persistence of the connection, from the version and the headers (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Persistence {
    /// HTTP/1.1, or HTTP/1.0 with `keep-alive`.
    #[default]
    Stays,
    /// HTTP/1.0.
    EndsUnlessKept,
    /// `close`.
    Ends,
}

/// Framing of the body, from the headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Length(u64),
    Chunked,
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

    /// Returns whether the present request has ended.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns whether the connection closes after the response to the present request, according to the part of
    /// its head that was seen.
    pub(super) fn is_last(&self) -> bool {
        self.persistence != Persistence::Stays
    }

    /// Returns the fault of the present request, if any. The parser must get nothing more then.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Returns the beginning of the present request line, or of the last one if no request has begun since.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// Returns whether the present request has begun and not ended.
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

    /// Returns whether the line of a chunk size or a trailer, as far as it has arrived, has the form that the
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
            self.version(if line_end.is_empty() { part } else { &line_end });
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
                self.body = if line.starts_with(b"CONNECT ") { Body::Unframed } else { Body::None };
                self.state = State::Headers;
            }
            State::Headers if line.is_empty() => self.end_of_head(),
            State::Headers => self.header(line),
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

    fn version(&mut self, line_end: &[u8]) {
        let is_old = line_end.trim_ascii_end().ends_with(b"HTTP/1.0");
        self.persistence = if is_old { Persistence::EndsUnlessKept } else { Persistence::Stays };
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.persistence = Persistence::Ends;
            } else if option.eq_ignore_ascii_case(b"keep-alive") && self.persistence == Persistence::EndsUnlessKept {
                self.persistence = Persistence::Stays;
            }
        }
    }

    fn header(&mut self, line: &[u8]) {
        // The first letter excludes most other headers.
        if !matches!(line[0] | 0x20, b'c' | b't' | b'u') {
            return;
        }
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let framing = if name.eq_ignore_ascii_case(b"content-length") {
            str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).map_or(Body::Unframed, Body::Length)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Body::Chunked
        } else if name.eq_ignore_ascii_case(b"upgrade") && value.eq_ignore_ascii_case(b"websocket") {
            Body::Unframed
        } else {
            if name.eq_ignore_ascii_case(b"connection") {
                self.connection(value);
            }
            return;
        };
        // The parser refuses a request with two of these headers, unless the length is 0.
        self.body = match (self.body, framing) {
            (Body::None, framing) | (framing, Body::Length(0)) | (Body::Length(0), framing) => framing,
            _ => Body::Unframed,
        };
    }

    fn end_of_head(&mut self) {
        match self.body {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUESTS: [&str; 9] = [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\n\r\nHEAD /v2/ HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\nhost: x\n\n",
        "POST / HTTP/1.1\r\nHost: x\r\nCONTENT-length:  12 \r\n\r\nGET / HTTP/1",
        "DELETE / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n\r\n\r\nx\r\n1A\r\n12345678901234567890123456\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\ntrailer: x\r\n\r\n",
        "GET / HTTP/1.1\r\ncookie: y\r\ntrailer: transfer-encoding: chunked\r\nte: trailers\r\nupgrade: h2c\r\n\r\n",
        "GET /content-length:7 HTTP/1.1\r\ncontent-type: content-length: 3\r\n\r\n",
    ];

    proptest! {
        #[test]
        fn requests_end_where_they_do_however_their_bytes_arrive(
            picked in prop::collection::vec(0..REQUESTS.len(), 1..8),
            sizes in prop::collection::vec(1..40_usize, 1..40),
        ) {
            let (mut framing, mut ends, mut at) = (Framing::default(), Vec::new(), 0);
            let all: String = picked.iter().map(|number| REQUESTS[*number]).collect();
            let mut sizes = sizes.into_iter().cycle();
            let mut arrived = 0;
            while at < all.len() {
                if arrived <= at {
                    arrived = (at + sizes.next().unwrap_or(1)).min(all.len());
                }
                at += framing.take(&all.as_bytes()[at..arrived]);
                if framing.is_complete() {
                    ends.push(at);
                    framing.next();
                }
            }
            let mut end = 0;
            let expected: Vec<usize> = picked.iter().map(|number| { end += REQUESTS[*number].len(); end }).collect();
            prop_assert_eq!(ends, expected);
        }
    }

    #[test]
    fn what_has_no_known_end_has_none() {
        for head in [
            "CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nupgrade: WebSocket\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        ] {
            let all = format!("{head}{}", REQUESTS[0]);
            let mut framing = Framing::default();
            assert_eq!(framing.take(all.as_bytes()), all.len(), "{head}");
            assert!(!framing.is_complete(), "{head}");
        }
    }

    #[test]
    fn a_request_is_the_last_where_its_version_or_its_headers_say_so() {
        let long = format!("GET /{} HTTP/1.0", "x".repeat(1000));
        for (head, is_last) in [
            ("GET / HTTP/1.1", false),
            ("GET / HTTP/1.1\r\nConnection: keep-alive", false),
            ("GET / HTTP/1.1\r\nconnection: CLOSE", true),
            ("GET / HTTP/1.1\r\nconnection: te , close", true),
            ("GET / HTTP/1.1\r\nx-connection: close", false),
            ("GET /HTTP/1.0 HTTP/1.1", false),
            ("GET / HTTP/1.0", true),
            ("GET / HTTP/1.0\r\nconnection: Keep-Alive", false),
            ("GET / HTTP/1.0\r\nconnection: keep-alive, close", true),
            (&long, true),
        ] {
            for size in [1, 3, 300, 10_000] {
                let mut framing = Framing::default();
                for bytes in format!("{head}\r\n\r\n").as_bytes().chunks(size) {
                    framing.take(bytes);
                }
                assert_eq!((framing.is_complete(), framing.is_last()), (true, is_last), "{head}, {size}");
            }
        }
    }

    #[test]
    fn a_long_line_takes_little_memory() {
        let mut framing = Framing::default();
        for _ in 0..1000 {
            framing.take(&[b'x'; 1000]);
        }
        assert!(framing.line.len() <= MAX_LINE_BYTES);
    }

    /// Returns the fault of a request with this chunked body, which arrives in packets of this many bytes.
    fn fault_of(body: &str, size: usize) -> Option<Fault> {
        let mut framing = Framing::default();
        for bytes in format!("PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}").as_bytes().chunks(size) {
            framing.take(bytes);
        }
        framing.fault()
    }

    #[test]
    fn what_stands_around_chunks_is_bounded_and_the_chunks_are_not() {
        let long = "x".repeat(MAX_AROUND_CHUNKS as usize);
        for size in [1, 100, 1 << 20] {
            for body in
                [format!("0\r\n{}", "t: x\r\n".repeat(3000)), format!("0\r\nt: {long}"), "1\r\nx\r\n".repeat(9000)]
            {
                assert_eq!(fault_of(&body, size), Some(Fault::LongFraming), "{size}");
            }
            for body in ["5\nhello\r\n", "5\r\nhello\r\n0\n\r\n", "0\r\nt: x\n\r\n", "0\r\n\n", "0\r\nt: x\r\n\n"] {
                assert_eq!(fault_of(body, size), Some(Fault::MalformedFraming), "{size}, {body:?}");
            }
            let (longest, too_long) = ("0".repeat(MAX_LINE_BYTES - 3), "0".repeat(MAX_LINE_BYTES - 2));
            assert_eq!(fault_of(&format!("{longest}5\r\nhello\r\n0\r\n\r\n"), size), None, "{size}");
            assert_eq!(fault_of(&format!("{too_long}5\r\nhello"), size), Some(Fault::MalformedFraming), "{size}");
            for body in [format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(50), "1\r\nx\r\n".repeat(2000)] {
                assert_eq!(fault_of(&format!("{body}0\r\n\r\n"), size), None, "{size}");
            }
        }
    }

    #[test]
    fn a_name_is_too_long_however_its_bytes_arrive_and_a_value_is_not() {
        for size in [1, 100, 100_000] {
            for (header, expected) in [
                (format!("{}: x", "n".repeat(100_000)), true),
                (format!("{}: x", "n".repeat(MAX_LINE_BYTES)), true),
                ("n".repeat(70_000), true),
                (format!("n: {}", "x".repeat(100_000)), false),
                (format!("{}: x", "n".repeat(MAX_LINE_BYTES - 1)), false),
            ] {
                let mut framing = Framing::default();
                let head = format!("GET /{} HTTP/1.1\r\n{header}\r\n\r\n", "x".repeat(1000));
                for bytes in head.as_bytes().chunks(size) {
                    framing.take(bytes);
                }
                assert_eq!(framing.fault() == Some(Fault::LongName), expected, "{size}");
            }
        }
    }
}
