//! Requests whose bytes are made once and sent often.

use bytes::Bytes;

use crate::contender::Running;
use crate::origin::MANIFEST;

/// A request and what is expected of its answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole request as it goes over the wire.
    pub bytes: Bytes,
    /// Whether it is a `HEAD`.
    pub head_only: bool,
    /// Whether it asks the server to close the connection.
    pub close: bool,
    /// The length that the answer must announce, where it is known.
    pub length: Option<u64>,
}

impl Request {
    /// A request to this server with its credential, or with another in its place.
    pub fn new(running: &Running, method: &str, path: &str, authorization: Option<&str>) -> Self {
        let authorization = authorization.or(running.authorization.as_deref());
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let host = running.target.address;
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {MANIFEST}\r\n{authorization}\r\n");
        Self { bytes: text.into(), head_only: method == "HEAD", close: false, length: None }
    }

    /// The same on a connection of its own, as docker 20.10, podman and skopeo ask.
    pub fn closing(mut self) -> Self {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len() - 2]).into_owned();
        self.bytes = format!("{text}Connection: close\r\n\r\n").into();
        self.close = true;
        self
    }

    /// The same, where only an answer of this length is right.
    pub fn expecting(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }
}
