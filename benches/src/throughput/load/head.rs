//! Incremental parser of one response: the relevant parts of its head, and the number of body bytes. It keeps no body.

use std::io;

/// A response that is being received.
#[derive(Debug, Default)]
pub struct ResponseParser {
    /// The received part of the head, if it did not arrive at once.
    head: Vec<u8>,
    /// The parsed head, once it is complete.
    known: Option<Known>,
}

/// Relevant parts of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// HTTP status.
    pub status: u16,
    /// Announced length of the body in bytes.
    pub length: u64,
    /// Number of bytes of the body that have not arrived.
    pub left: u64,
    /// True where the server will close the connection.
    pub close: bool,
}

/// Maximum size of a head.
const MAX_HEAD_BYTES: usize = 16 << 10;

impl ResponseParser {
    /// Parses the next bytes of the connection. Returns the head once the response is complete; `head_only` is true
    /// for a response to `HEAD`.
    pub fn take(&mut self, bytes: &[u8], head_only: bool) -> io::Result<Option<Known>> {
        let known = match &mut self.known {
            Some(known) => known.body(bytes.len())?,
            None => match self.take_head(bytes, head_only)? {
                Some(known) => known,
                None => return Ok(None),
            },
        };
        Ok((known.left == 0).then_some(known))
    }

    /// Returns true where only body bytes are missing.
    pub fn has_head(&self) -> bool {
        self.known.is_some()
    }

    /// Resets the parser for the next response on the connection.
    pub fn clear(&mut self) {
        self.head.clear();
        self.known = None;
    }

    fn take_head(&mut self, bytes: &[u8], head_only: bool) -> io::Result<Option<Known>> {
        let whole = if self.head.is_empty() { parse(bytes)? } else { None };
        let (mut known, of_body) = match whole {
            Some((known, length)) => (known, bytes.len() - length),
            None => {
                self.head.extend_from_slice(bytes);
                match parse(&self.head)? {
                    Some((known, length)) => (known, self.head.len() - length),
                    None if self.head.len() > MAX_HEAD_BYTES => return Err(bad("the head of a response is too long")),
                    None => return Ok(None),
                }
            }
        };
        if head_only {
            known.left = 0;
        }
        let known = self.known.insert(known);
        known.body(of_body).map(Some)
    }
}

impl Known {
    fn body(&mut self, bytes: usize) -> io::Result<Self> {
        self.left = self.left.checked_sub(bytes as u64).ok_or_else(|| bad("the response is longer than announced"))?;
        Ok(*self)
    }
}

/// Parses the head. Returns it with its length in bytes, or `None` where it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<(Known, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let (mut length, mut close) = (None, false);
    for header in &*response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let length = length.ok_or_else(|| bad("a response has no Content-Length"))?;
    Ok(Some((Known { status: response.code.unwrap_or_default(), length, left: length, close }, head)))
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_however_it_is_cut() {
        for cut in 1..ANSWER.len() {
            let mut answer = ResponseParser::default();
            let (first, second) = ANSWER.split_at(cut);
            assert_eq!(answer.take(first, false).unwrap(), None, "cut at {cut}");
            let whole = answer.take(second, false).unwrap().unwrap();
            assert_eq!((whole.status, whole.length, whole.left, whole.close), (200, 5, 0, false), "cut at {cut}");
        }
    }

    #[test]
    fn the_next_answer_of_a_connection_begins_anew() {
        let mut answer = ResponseParser::default();
        for _ in 0..2 {
            assert!(answer.take(ANSWER, false).unwrap().is_some());
            answer.clear();
        }
    }

    #[test]
    fn an_answer_to_head_is_whole_without_a_body() {
        let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 1000\r\nConnection: close\r\n\r\n";
        let known = ResponseParser::default().take(head, true).unwrap().unwrap();
        assert_eq!((known.status, known.length, known.close), (404, 1000, true));
    }

    #[test]
    fn an_answer_that_is_too_long_or_tells_no_length_is_an_error() {
        let too_long = [ANSWER, b"!"].concat();
        assert!(ResponseParser::default().take(&too_long, false).is_err());
        assert!(ResponseParser::default().take(b"HTTP/1.1 200 OK\r\n\r\n", false).is_err());
        assert!(ResponseParser::default().take(b"SSH-2.0-OpenSSH\r\n\r\n", false).is_err());
        assert!(
            ResponseParser::default()
                .take(&[b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; 20_000].as_slice()].concat(), false)
                .is_err()
        );
    }
}
