//! HTTP/1.1 without a framework, because a framework would not cut off, hang or send wrong lengths. It reads
//! requests without a body (a body is skipped by its `Content-Length`) and keeps connections alive.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    image::{Blob, Image},
    requests::{Listener, Request},
};

const MAX_CHUNK_BYTES: u64 = 64 * 1024;

/// A response, with the way in which it is sent.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Blob,
    /// Start of the range of `body` that is sent, `start..end`.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) length: Length,
    /// Challenge of a 401 to this request; empty where there is none.
    pub(super) challenge: String,
    pub(super) hang: bool,
    pub(super) reset: bool,
    pub(super) delay: Duration,
    pub(super) pace: Option<Pace>,
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

#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) bytes_per_second: u64,
    pub(super) first_byte_at_once: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Cut {
    Reset,
    Close,
}

impl Reply {
    pub(super) fn blob(status: u16, content_type: &str, body: Blob) -> Self {
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
            pace: None,
            hold_after: None,
            cut: None,
            flipped: None,
        }
    }

    pub(super) fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::blob(status, content_type, Blob::Bytes(body.into()))
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::bytes(status, "text/plain", Bytes::new())
    }

    pub(super) fn manifest(image: &Image) -> Self {
        Self::bytes(200, image.media_type(), image.bytes().clone())
            .with("Docker-Content-Digest", image.digest())
            .with("ETag", format!("\"{}\"", image.digest()))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    fn head(&self) -> String {
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

    /// Returns the number of bytes to send next, up to the next place where a fault applies.
    fn next_chunk(&self, sent: u64) -> u64 {
        let mut chunk = MAX_CHUNK_BYTES.min(self.end - self.start - sent);
        if let Some(pace) = self.pace {
            let tick = (pace.bytes_per_second / 20).max(1);
            chunk = chunk.min(if pace.first_byte_at_once && sent == 0 { 1 } else { tick });
        }
        for stop in [self.hold_after, self.cut.map(|(after, _)| after)].into_iter().flatten() {
            if stop > sent {
                chunk = chunk.min(stop - sent);
            }
        }
        chunk
    }

    fn read(&self, sent: u64, length: u64) -> Vec<u8> {
        let offset = self.start + sent;
        let mut bytes = self.body.read(offset, usize::try_from(length).unwrap());
        if let Some(flipped) = self.flipped.and_then(|at| at.checked_sub(offset))
            && flipped < length
        {
            bytes[usize::try_from(flipped).unwrap()] ^= 0xff;
        }
        bytes
    }
}

/// A client's connection to one of the listeners.
pub(super) struct Connection {
    stream: TcpStream,
    unread: BytesMut,
    /// Changes with every release of held bodies.
    releases: watch::Receiver<u64>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, releases: watch::Receiver<u64>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: BytesMut::new(), releases })
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
        sleep(reply.delay).await;
        if reply.reset {
            self.stream.set_zero_linger()?;
            return Ok(false);
        }
        self.stream.write_all(reply.head().as_bytes()).await?;
        if head_only {
            return Ok(true);
        }
        self.send_body(reply).await
    }

    async fn send_body(&mut self, reply: &Reply) -> io::Result<bool> {
        let started = Instant::now();
        let total = reply.end - reply.start;
        let mut sent = 0;
        loop {
            if reply.hold_after == Some(sent) {
                self.released().await?;
            }
            match reply.cut {
                Some((after, how)) if after == sent && after < total => return self.cut(how).await,
                _ if sent == total => break,
                _ => {}
            }
            let chunk = reply.next_chunk(sent);
            if let Some(pace) = reply.pace
                && !(pace.first_byte_at_once && sent == 0)
            {
                let due = (sent + chunk) as f64 / pace.bytes_per_second as f64;
                sleep_until(started + Duration::from_secs_f64(due)).await;
            }
            self.write(reply.length, &reply.read(sent, chunk)).await?;
            sent += chunk;
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
        self.stream.set_zero_linger()
    }

    async fn cut(&mut self, how: Cut) -> io::Result<bool> {
        if matches!(how, Cut::Reset) {
            self.acknowledged().await?;
            self.stream.set_zero_linger()?;
        }
        Ok(false)
    }

    /// Waits, for two seconds at most, until the client's kernel has acknowledged all bytes: a reset discards bytes
    /// in flight, and the client would receive fewer than the test commanded.
    async fn acknowledged(&self) -> io::Result<()> {
        let (local, peer) = (self.stream.local_addr()?, self.stream.peer_addr()?);
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
