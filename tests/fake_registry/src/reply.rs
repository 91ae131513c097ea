//! Responses of the fake registry as data, with the ways in which they are sent.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::content::Content;
use crate::image::Image;

/// Maximum size of a write, in bytes.
const MAX_CHUNK_BYTES: u64 = 256 << 10;

/// A response, with the way in which it is sent.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Content,
    /// Start of the range of `body` that is sent, `start..end`.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) length: Length,
    /// Challenge of a 401 to this request; empty where there is none.
    pub(super) challenge: String,
    pub(super) hang: bool,
    pub(super) reset: bool,
    pub(super) delay: Duration,
    pub(super) rate: Option<Rate>,
    pub(super) hold_after: Option<u64>,
    pub(super) cut: Option<(u64, Cut)>,
    pub(super) flipped: Option<u64>,
}

/// Announcement of the length of the body.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Length {
    True,
    OffBy(i64),
    Chunked,
}

/// Rate of a body.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) bytes_per_second: u64,
    /// Time between two chunks.
    pub(super) interval: Duration,
    pub(super) first_byte_at_once: bool,
}

/// Early end of a body.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    Reset,
    Close,
}

impl Reply {
    pub(super) fn blob(status: u16, content_type: &str, body: Content) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            start: 0,
            end: body.size(),
            body,
            length: Length::True,
            challenge: String::new(),
            hang: false,
            reset: false,
            delay: Duration::ZERO,
            rate: None,
            hold_after: None,
            cut: None,
            flipped: None,
        }
    }

    pub(super) fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::blob(status, content_type, Content::Bytes(body.into()))
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::bytes(status, "text/plain", Bytes::new())
    }

    pub(super) fn manifest(image: &Image) -> Self {
        let manifest = Self::bytes(200, image.media_type(), image.bytes().clone());
        manifest.with("Docker-Content-Digest", image.digest()).with_etag(image.digest())
    }

    /// Returns an error in the format of the OCI distribution specification.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": message}]}))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn with_etag(self, digest: &str) -> Self {
        self.with("ETag", format!("\"{digest}\""))
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(super) fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            307 => "Temporary Redirect",
            401 => "Unauthorized",
            404 => "Not Found",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Status",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let real = self.end - self.start;
        head += &match self.length {
            Length::True => format!("Content-Length: {real}\r\n\r\n"),
            Length::OffBy(bytes) => {
                format!("Content-Length: {}\r\n\r\n", real.saturating_add_signed(bytes))
            }
            Length::Chunked => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        };
        head
    }

    /// Returns the bytes to send next, up to the next place where a fault applies. Zeros follow the content in a body
    /// that is too long.
    pub(super) fn chunk(&self, sent: u64) -> Bytes {
        let offset = self.start + sent;
        let max = self.max_chunk(sent) as usize;
        let mut chunk = self.body.chunk(offset, max);
        if chunk.is_empty() {
            chunk = vec![0; max].into();
        }
        let flipped = self.flipped.and_then(|at| at.checked_sub(offset)).filter(|at| *at < chunk.len() as u64);
        match flipped {
            None => chunk,
            Some(at) => {
                let mut bytes = chunk.to_vec();
                bytes[at as usize] ^= 0xff;
                bytes.into()
            }
        }
    }

    fn max_chunk(&self, sent: u64) -> u64 {
        let mut max = MAX_CHUNK_BYTES.min(self.end - self.start - sent);
        if let Some(rate) = self.rate {
            let per_interval = (rate.bytes_per_second as f64 * rate.interval.as_secs_f64()) as u64;
            max = max.min(if rate.first_byte_at_once && sent == 0 { 1 } else { per_interval.max(1) });
        }
        for stop in [self.hold_after, self.cut.map(|(after, _)| after)].into_iter().flatten() {
            if stop > sent {
                max = max.min(stop - sent);
            }
        }
        max
    }
}
