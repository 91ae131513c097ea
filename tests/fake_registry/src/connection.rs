//! HTTP/1.1 without a framework, because a framework would not cut off, hang or send wrong lengths. It reads
//! requests without a body (a body is skipped by its `Content-Length`) and keeps connections alive.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::reply::{Cut, Length, Reply};
use crate::requests::{Listener, Request};
use crate::stream::Stream;

/// A client's connection to one of the listeners.
pub(super) struct Connection {
    stream: Stream,
    unread: BytesMut,
    /// Changes with every release of held bodies.
    releases: watch::Receiver<u64>,
}

impl Connection {
    pub(super) fn new(stream: Stream, releases: watch::Receiver<u64>) -> Self {
        Self { stream, unread: BytesMut::new(), releases }
    }

    /// Reads the next request; `None` once the client has closed the connection or sends no HTTP.
    pub(super) async fn request(&mut self, listener: Listener) -> io::Result<Option<Request>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Request::new(&mut headers);
            match head.parse(&self.unread) {
                Ok(httparse::Status::Complete(length)) => {
                    let request = Request::parse(listener, &head);
                    self.unread.advance(length);
                    self.skip_body(&request).await?;
                    // From here on a release applies to this request, even before its body reaches the hold.
                    self.releases.mark_unchanged();
                    return Ok(Some(request));
                }
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Ok(None),
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn skip_body(&mut self, request: &Request) -> io::Result<()> {
        let length = request.header("content-length").and_then(|text| text.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.unread.len() < length {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                break;
            }
        }
        self.unread.advance(length.min(self.unread.len()));
        Ok(())
    }

    /// Sends the reply; returns true where the connection can be reused.
    pub(super) async fn send(&mut self, reply: &Reply, head_only: bool) -> io::Result<bool> {
        if reply.hang {
            while self.stream.read_buf(&mut self.unread).await? > 0 {}
            return Ok(false);
        }
        // Even a delay of nothing would last until the next tick of the timer.
        if !reply.delay.is_zero() {
            sleep(reply.delay).await;
        }
        if reply.reset {
            self.reset()?;
            return Ok(false);
        }
        self.stream.write_all(reply.head().as_bytes()).await?;
        let reusable = head_only || self.send_body(reply).await?;
        self.stream.flush().await?;
        Ok(reusable)
    }

    async fn send_body(&mut self, reply: &Reply) -> io::Result<bool> {
        let total = reply.end - reply.start;
        let (mut sent, mut due) = (0, Instant::now());
        loop {
            if reply.hold_after == Some(sent) {
                self.stream.flush().await?;
                self.released().await?;
            }
            match reply.cut {
                Some((after, how)) if after == sent && after < total => return self.cut(how).await,
                _ if sent == total => break,
                _ => {}
            }
            let chunk = reply.chunk(sent);
            if let Some(rate) = reply.rate {
                due += Duration::from_secs_f64(chunk.len() as f64 / rate.bytes_per_second as f64);
                if !(rate.first_byte_at_once && sent == 0) {
                    sleep_until(due).await;
                }
            }
            self.write(reply.length, &chunk).await?;
            sent += chunk.len() as u64;
        }
        if reply.length == Length::Chunked {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(!matches!(reply.length, Length::OffBy(_)))
    }

    /// Waits for the next release, or until the client disconnects.
    async fn released(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                _ = self.releases.changed() => return Ok(()),
                read = self.stream.read_buf(&mut self.unread) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    async fn write(&mut self, length: Length, bytes: &[u8]) -> io::Result<()> {
        if length != Length::Chunked {
            return self.stream.write_all(bytes).await;
        }
        self.stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
        self.stream.write_all(bytes).await?;
        self.stream.write_all(b"\r\n").await
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.stream.tcp().set_zero_linger()
    }

    async fn cut(&mut self, how: Cut) -> io::Result<bool> {
        self.stream.flush().await?;
        if matches!(how, Cut::Reset) {
            self.acknowledged().await?;
            self.reset()?;
        }
        Ok(false)
    }

    /// Waits, for two seconds at most, until the client's kernel has acknowledged all bytes: a reset discards bytes
    /// in flight, and the client would receive fewer than the test commanded.
    async fn acknowledged(&self) -> io::Result<()> {
        let (local, peer) = (self.stream.tcp().local_addr()?, self.stream.tcp().peer_addr()?);
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline && unacknowledged(local.port(), peer.port())? > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Returns the number of bytes in the send queue of the connection between these ports (`/proc/net/tcp`).
fn unacknowledged(local: u16, peer: u16) -> io::Result<u64> {
    let (local, peer) = (format!(":{local:04X}"), format!(":{peer:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let queues = table.lines().find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let is_ours = columns.next()?.ends_with(&local) && columns.next()?.ends_with(&peer);
        columns.nth(1).filter(|_| is_ours)
    });
    let sending = queues.and_then(|queues| queues.split(':').next());
    Ok(sending.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0))
}
