//! Requests whose bytes are built once and sent often.

use std::net::SocketAddr;

use bytes::Bytes;
use fake_registry::OCI_MANIFEST;

/// A request, with the expectations of its response.
#[derive(Clone, Debug)]
pub struct Request {
    /// The complete request, as it is sent.
    pub bytes: Bytes,
    /// True for a `HEAD` request.
    pub head_only: bool,
    /// True where it has `Connection: close`.
    pub close: bool,
    /// Expected `Content-Length`, if known.
    pub length: Option<u64>,
}

impl Request {
    /// Creates a request to this host, with this credential if there is one.
    pub fn new(host: SocketAddr, method: &str, path: &str, authorization: Option<&str>) -> Self {
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {OCI_MANIFEST}\r\n{authorization}\r\n");
        Self { bytes: text.into(), head_only: method == "HEAD", close: false, length: None }
    }

    /// Adds a cookie, and the compression that browsers accept.
    pub fn with_cookie(self, cookie: &str) -> Self {
        self.with_lines(&format!("Cookie: {cookie}\r\nAccept-Encoding: gzip\r\n"))
    }

    /// Adds `Connection: close`, for a connection per request, as docker 20.10, podman and skopeo use.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self.with_lines("Connection: close\r\n")
    }

    fn with_lines(mut self, lines: &str) -> Self {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len() - 2]).into_owned();
        self.bytes = format!("{text}{lines}\r\n").into();
        self
    }

    /// Sets the expected length; a response of another length is an error.
    pub fn expecting(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }
}
