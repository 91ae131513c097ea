//! A connection without an HTTP client.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::service::DEADLINE;

/// A byte stream in both directions, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection without an HTTP client.
pub(super) struct Wire {
    pub(super) stream: Box<dyn Stream>,
    pub(super) unread: Vec<u8>,
}

impl Wire {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads the head of the next response, and returns the status and the announced length.
    pub(super) async fn head(&mut self) -> io::Result<(u16, u64)> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut answer = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(end) = answer.parse(&self.unread).unwrap() {
                let status = answer.code.unwrap();
                let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
                let length = std::str::from_utf8(length.unwrap().value).unwrap().parse().unwrap();
                self.unread.drain(..end);
                return Ok((status, length));
            }
            self.more().await?;
        }
    }

    pub(super) async fn body(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).unwrap();
        while self.unread.len() < length {
            self.more().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    pub(super) async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads until the connection ends, which it must. Returns the number of bytes.
    pub(super) async fn until_cut(mut self) -> u64 {
        let reading = async { while self.more().await.is_ok() {} };
        timeout(DEADLINE, reading).await.expect("the connection ends");
        self.unread.len() as u64
    }
}
