//! Reads one answer as its bytes arrive: as much of the head as a client needs, and how much of the body has come. Keeps no body.

use std::io;

/// An answer that arrives.
#[derive(Debug, Default)]
pub struct Answer {
    /// What has come of the head, where it did not come at once.
    head: Vec<u8>,
    /// Once the head is there.
    known: Option<Known>,
}

/// What the head said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The status.
    pub status: u16,
    /// Bytes that the body is announced to have.
    pub length: u64,
    /// Bytes of the body that have not come yet.
    pub left: u64,
    /// Whether the server will close the connection.
    pub close: bool,
}

/// The longest head that is read.
const MAX_HEAD: usize = 16 << 10;

impl Answer {
    /// Takes the next bytes of the connection. The answer is whole when this returns what its head said; `head_only` where it
    /// is one to `HEAD`.
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

    /// Whether all that still comes of it is its body.
    pub fn has_head(&self) -> bool {
        self.known.is_some()
    }

    /// Forgets it, for the next answer on the connection.
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
                    None if self.head.len() > MAX_HEAD => return Err(bad("the head of an answer is too long")),
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
        self.left =
            self.left.checked_sub(bytes as u64).ok_or_else(|| bad("there is more than the answer announced"))?;
        Ok(*self)
    }
}

/// The head, and its length in bytes; none where it has not come to its end.
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
    let length = length.ok_or_else(|| bad("an answer does not tell its length"))?;
    Ok(Some((Known { status: response.code.unwrap_or_default(), length, left: length, close }, head)))
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
