//! The origin's HTTP server: one task per connection, one request after another.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::counts::RequestKind;
use super::{File, Pace, Shared, locked};

/// Maximum size of a write, in bytes.
const MAX_WRITE_BYTES: usize = 256 << 10;

/// Where the rate is limited, a chunk is as large as the bytes of this interval.
const PACING_INTERVAL: Duration = Duration::from_millis(5);

/// Accepts connections until the listener fails.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, shared) = (tls.clone(), shared.clone());
        // An error here means that the client has left; it ends this connection only.
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            match tls {
                None => Connection::new(stream, shared).serve().await,
                Some(tls) => Connection::new(tls.accept(stream).await?, shared).serve().await,
            }
        });
    }
}

struct Connection<S> {
    stream: S,
    unread: BytesMut,
    /// Earliest time of the next bytes, where the rate is limited.
    due: Instant,
    shared: Arc<Shared>,
}

/// The relevant parts of a request.
struct Request {
    method: String,
    path: String,
    range: Option<String>,
    close: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, shared: Arc<Shared>) -> Self {
        Self { stream, unread: BytesMut::new(), due: Instant::now(), shared }
    }

    async fn serve(mut self) -> io::Result<()> {
        while let Some(request) = self.request().await? {
            self.shared.counters.asked(RequestKind::of(&request.method, &request.path));
            let latency = self.pace().latency;
            if !latency.is_zero() {
                sleep(latency).await;
            }
            self.respond(&request).await?;
            if request.close {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next request; `None` once the client has closed the connection or sends no HTTP.
    async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Request::new(&mut headers);
            match head.parse(&self.unread) {
                Ok(httparse::Status::Complete(length)) => {
                    let request = Request::of(&head);
                    self.unread.advance(length);
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

    async fn respond(&mut self, request: &Request) -> io::Result<()> {
        let file = locked(&self.shared.files).get(&request.path).cloned();
        let Some(file) = file else { return self.respond_without_file(request).await };
        let size = file.blob.size();
        let (status, range, more) = match request.range.as_deref().and_then(|range| parse_range(range, size)) {
            Some(range) => {
                let more = format!("Content-Range: bytes {}-{}/{size}\r\n", range.start, range.end - 1);
                ("206 Partial Content", range, more)
            }
            None => ("200 OK", 0..size, String::new()),
        };
        let more = format!("{more}Docker-Content-Digest: {}\r\n", file.blob.digest);
        let head = head(status, file.media_type, range.end - range.start, &more);
        self.stream.write_all(head.as_bytes()).await?;
        if request.method != "HEAD" {
            self.body(&file, range).await?;
        }
        self.stream.flush().await
    }

    /// Responds to `/v2/` with a challenge and issues tokens, but requires none: a server that can log in
    /// does so once, and others get all content without. (Distribution requests `/v2/` before every
    /// request until it gets a challenge.)
    async fn respond_without_file(&mut self, request: &Request) -> io::Result<()> {
        let (status, body, more) = match request.path.trim_end_matches('/') {
            "/v2" => {
                let realm = &self.shared.url;
                let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}/token\",service=\"origin\"\r\n");
                ("401 Unauthorized", r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, challenge)
            }
            "/token" => ("200 OK", r#"{"token":"a-token","expires_in":3600}"#, String::new()),
            _ => ("404 Not Found", r#"{"errors":[{"code":"NOT_FOUND"}]}"#, String::new()),
        };
        let head = head(status, "application/json", body.len() as u64, &more);
        let body = if request.method == "HEAD" { "" } else { body };
        self.stream.write_all(format!("{head}{body}").as_bytes()).await?;
        self.stream.flush().await
    }

    async fn body(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        self.due = self.due.max(Instant::now());
        while at < range.end {
            let pace = self.pace();
            let max = pace
                .bytes_per_second
                .map_or(MAX_WRITE_BYTES, |rate| (rate as f64 * PACING_INTERVAL.as_secs_f64()) as usize)
                .max(1);
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let chunk = file.blob.content.chunk(at, max.min(left));
            if let Some(rate) = pace.bytes_per_second {
                self.due += Duration::from_secs_f64(chunk.len() as f64 / rate as f64);
                sleep_until(self.due).await;
            }
            self.stream.write_all(&chunk).await?;
            self.shared.counters.sent(chunk.len());
            at += chunk.len() as u64;
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        *locked(&self.shared.pace)
    }
}

impl Request {
    fn of(head: &httparse::Request<'_, '_>) -> Self {
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(found.value).into_owned())
        };
        let path = head.path.unwrap_or_default();
        Self {
            method: head.method.unwrap_or_default().to_owned(),
            path: path.split('?').next().unwrap_or_default().replace("%3A", ":"),
            range: header("range"),
            close: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        }
    }
}

fn head(status: &str, media_type: &str, length: u64, more: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\n{more}\r\n"
    )
}

/// Parses `bytes=A-` or `bytes=A-B` within `size` bytes; anything else is ignored.
fn parse_range(range: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.checked_add(1)?.min(size) };
    (first < end).then_some(first..end)
}
