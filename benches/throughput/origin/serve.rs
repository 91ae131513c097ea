//! The origin's side of HTTP: one task a connection, requests one after another.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::counts::Asked;
use super::{File, Pace, Shared, locked};

/// Bytes that are written at a time.
const PIECE: usize = 256 << 10;

/// Where the rate is limited, a piece is what goes out in so long.
const TICK: Duration = Duration::from_millis(5);

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, shared) = (tls.clone(), shared.clone());
        // A client that leaves ends its connection, no more.
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
    /// When the next bytes may go out, where the rate is limited.
    due: Instant,
    shared: Arc<Shared>,
}

/// What of a request matters here.
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
            self.shared.counters.asked(Asked::of(&request.method, &request.path));
            let latency = self.pace().latency;
            if !latency.is_zero() {
                sleep(latency).await;
            }
            self.answer(&request).await?;
            if request.close {
                break;
            }
        }
        Ok(())
    }

    /// The next request; none once the client has closed or speaks something else.
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

    async fn answer(&mut self, request: &Request) -> io::Result<()> {
        let file = locked(&self.shared.files).get(&request.path).cloned();
        let Some(file) = file else { return self.answer_without_file(request).await };
        let size = file.blob.size();
        let (status, range, more) = match request.range.as_deref().and_then(|range| asked_for(range, size)) {
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

    /// Who asks how to log in is told, and gets a token, and needs none: so a server that can log in does so once, and one that
    /// cannot gets everything all the same. (Distribution asks `/v2/` before every request until it is told how to log in.)
    async fn answer_without_file(&mut self, request: &Request) -> io::Result<()> {
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
            let most = pace.bytes_per_second.map_or(PIECE, |rate| (rate as f64 * TICK.as_secs_f64()) as usize).max(1);
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let piece = file.blob.content.piece(at, most.min(left));
            if let Some(rate) = pace.bytes_per_second {
                self.due += Duration::from_secs_f64(piece.len() as f64 / rate as f64);
                sleep_until(self.due).await;
            }
            self.stream.write_all(&piece).await?;
            self.shared.counters.sent(piece.len());
            at += piece.len() as u64;
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

/// `bytes=A-` or `bytes=A-B` within so many bytes; anything else is as if it were not there.
fn asked_for(range: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.checked_add(1)?.min(size) };
    (first < end).then_some(first..end)
}
