//! Responses of the HTTP parser itself. actix-http refuses a head that it cannot parse, or that is too long, with an
//! empty response that no middleware sees. It is the last one on its connection, and is replaced by one with an id, a
//! count and a log line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::http::EarlyFault;

/// The response that replaces the parser's, and how much of it was written.
#[derive(Default)]
pub(super) struct Refusal {
    response: Vec<u8>,
    written: usize,
}

/// Maximum length of a response of the parser, in bytes: a status line, `content-length`, `connection` and `date`.
const MAX_REFUSAL_BYTES: usize = 256;

impl Refusal {
    /// Returns true if there is such a response.
    pub(super) fn is_begun(&self) -> bool {
        !self.response.is_empty()
    }

    /// Begins to send this response.
    pub(super) fn begin(&mut self, response: Vec<u8>) {
        (self.response, self.written) = (response, 0);
    }

    /// Writes what is left of the response.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.written < self.response.len() {
            match ready!(Pin::new(&mut *io).poll_write(cx, &self.response[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Finds a response of the parser at the end of the bytes that are to be written. Returns its offset and its cause.
/// Only for bytes in which one may be: a response of a route could look the same.
pub(super) fn parser_refusal(bytes: &[u8]) -> Option<(usize, EarlyFault)> {
    let from = bytes.len().saturating_sub(MAX_REFUSAL_BYTES);
    let at = from + memchr::memmem::rfind(&bytes[from..], b"HTTP/1.")?;
    let head = str::from_utf8(&bytes[at..]).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let fault = match lines.next()?.split(' ').nth(1)? {
        "400" => EarlyFault::MalformedHead,
        "431" => EarlyFault::LongHead,
        _ => return None,
    };
    let is_of_parser = |line: &str| {
        line.split_once(": ").is_some_and(|(name, _)| matches!(name, "content-length" | "connection" | "date"))
    };
    lines.all(is_of_parser).then_some((at, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_response_of_the_parser_at_the_end_is_one() {
        let refusal = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\ndate: x\r\n\r\n");
        let found = |text: &str| parser_refusal(text.as_bytes());
        assert_eq!(found(&refusal("400 Bad Request")), Some((0, EarlyFault::MalformedHead)));
        let long = format!("{}{}", "x".repeat(1000), refusal("431 Request Header Fields Too Large"));
        assert_eq!(found(&long), Some((1000, EarlyFault::LongHead)));
        for other in [
            refusal("200 OK"),
            refusal("400 Bad Request") + "x",
            refusal("400 Bad Request").replace("date", "x-request-id"),
            refusal("400 Bad Request").replace("\r\n\r\n", "\r\n"),
            String::new(),
        ] {
            assert_eq!(found(&other), None, "{other}");
        }
    }
}
