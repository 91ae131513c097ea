//! The head of a request, as far as it decides on the framing of the body and on the persistence of the connection
//! (RFC 9112, sections 6 and 9.3). Does not validate it.

use memchr::memchr;

/// Body and persistence of the present request, according to the lines of its head so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    body: Body,
    persistence: Persistence,
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
pub(super) enum Body {
    #[default]
    None,
    Length(u64),
    Chunked,
    Unframed,
}

impl Head {
    /// Returns the framing of the body.
    pub(super) fn body(&self) -> Body {
        self.body
    }

    /// Returns true if the connection closes after the response.
    pub(super) fn is_last(&self) -> bool {
        self.persistence != Persistence::Stays
    }

    /// Reads the request line, of which the version may be missing. No header was read before it.
    pub(super) fn request_line(&mut self, line: &[u8]) {
        self.body = if line.starts_with(b"CONNECT ") { Body::Unframed } else { Body::None };
    }

    /// Reads the version at the end of the request line.
    pub(super) fn version(&mut self, line_end: &[u8]) {
        let is_old = line_end.trim_ascii_end().ends_with(b"HTTP/1.0");
        self.persistence = if is_old { Persistence::EndsUnlessKept } else { Persistence::Stays };
    }

    /// Reads a header, which is not empty.
    pub(super) fn header(&mut self, line: &[u8]) {
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

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.persistence = Persistence::Ends;
            } else if option.eq_ignore_ascii_case(b"keep-alive") && self.persistence == Persistence::EndsUnlessKept {
                self.persistence = Persistence::Stays;
            }
        }
    }
}
