//! The body of a response that carries a blob: the only place that decides how its bytes reach the socket. Its
//! length is known from the start. If the source ends earlier, the body fails, which cuts the connection; it never
//! ends cleanly.
//!
//! If the connection's [`SendQueue`] accepts files, large file ranges are handed to the socket, which sends them with
//! `sendfile(2)`. Small responses, and bytes that are not in a file, are written like any other body.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures::StreamExt;

use crate::actors::blob_cache::{BlobError, BlobReader, Chunk, Chunks, Transfer};
use crate::actors::traffic::ServedBytes;
use crate::http::send_queue::{PendingSend, SendQueue};
use crate::telemetry::{LineLimit, RequestId, served_bytes};

/// Longest response in bytes that is copied behind its head. It leaves in one write with the head, which is cheaper
/// than a `sendfile` of its own.
const MAX_COPIED_BYTES: u64 = 32 * 1024;

/// A range of a blob's bytes, as a response body.
pub(in crate::http) struct BlobBody {
    size: BodySize,
    remaining: u64,
    chunks: Chunks,
    /// Counter of the group; a file range counts when the socket gets it.
    served: Option<ServedBytes>,
    /// The right to send files on the connection. It also keeps the connection from counting as idle.
    queue: Option<PendingSend>,
    /// The id of the request, for log lines that are written after the head has been sent.
    request: Option<RequestId>,
}

/// Reason why the connection is cut in the middle of a body.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum BodyError {
    /// The remaining bytes could not be read or downloaded.
    #[error(transparent)]
    Blob(BlobError),
    /// The source has more or fewer bytes than `Content-Length` states.
    #[error("the body is longer or shorter than its Content-Length")]
    Length,
}

impl BlobBody {
    /// Completes the response with this range of the blob, sent as the bytes become readable. The range lies within
    /// [`BlobReader::length`].
    pub(super) fn respond(
        mut response: HttpResponseBuilder,
        request: &HttpRequest,
        blob: BlobReader,
        range: Range<u64>,
        served: ServedBytes,
    ) -> HttpResponse {
        if let Some(bytes) = blob.in_memory(&range) {
            served_bytes().increment(bytes.len() as u64);
            served.add(bytes.len() as u64);
            return response.body(bytes);
        }
        let length = range.end.saturating_sub(range.start);
        let queue = request.conn_data::<SendQueue>();
        let zero_copy = length > MAX_COPIED_BYTES && queue.is_some_and(SendQueue::takes_files);
        let chunks = blob.chunks(range, if zero_copy { Transfer::ZeroCopy } else { Transfer::Copy });
        let served = Some(served);
        let body = Self { queue: queue.map(SendQueue::enter), served, ..Self::of(length, chunks) };
        if !zero_copy {
            return response.body(body);
        }
        // actix-http checks a sized body against the bytes that pass through it. Those that the socket sends do
        // not, so the length goes into the head only.
        response.no_chunking(length).body(Self { size: BodySize::Stream, ..body })
    }

    /// Completes the response to a `HEAD` for content of this length in bytes.
    pub(super) fn respond_to_head(mut response: HttpResponseBuilder, length: u64) -> HttpResponse {
        response.no_chunking(length).body(Nothing)
    }

    /// Creates the body for this many bytes that are copied, as part of the response to this request.
    pub(super) fn read(request: &HttpRequest, length: u64, chunks: Chunks, served: ServedBytes) -> Self {
        let queue = request.conn_data::<SendQueue>().map(SendQueue::enter);
        Self { queue, served: Some(served), ..Self::of(length, chunks) }
    }

    /// Creates the body for this many bytes of these chunks. It belongs to no connection.
    pub(in crate::http) fn of(length: u64, chunks: Chunks) -> Self {
        let request = RequestId::present();
        Self { size: BodySize::Sized(length), remaining: length, chunks, served: None, queue: None, request }
    }

    /// Returns bytes to the server, or hands a file range to the socket. In the second case the body is pending
    /// until the socket has sent it.
    fn deliver(&mut self, chunk: Chunk) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(remaining) = self.remaining.checked_sub(chunk.length()) else {
            return Poll::Ready(Some(Err(BodyError::Length)));
        };
        self.remaining = remaining;
        self.served.iter().for_each(|served| served.add(chunk.length()));
        match (chunk, &self.queue) {
            (Chunk::Bytes(bytes), _) => {
                served_bytes().increment(bytes.len() as u64);
                Poll::Ready(Some(Ok(bytes)))
            }
            (Chunk::FileRange(part), Some(queue)) if queue.takes_files() => {
                queue.put(part, served_bytes().clone());
                Poll::Pending
            }
            (Chunk::FileRange(_), _) => Poll::Ready(Some(Err(BodyError::Length))),
        }
    }
}

/// The body of the response to a `HEAD`: empty, with its size undeclared, so that actix-http keeps the
/// `Content-Length` that was set.
struct Nothing;

impl MessageBody for Nothing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

impl MessageBody for BlobBody {
    type Error = BodyError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.queue.as_ref().is_some_and(|queue| !queue.is_done()) {
            // The socket's flush wakes this task once the range is sent.
            return Poll::Pending;
        }
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        match ready!(self.chunks.poll_next_unpin(cx)) {
            Some(Ok(chunk)) => self.deliver(chunk),
            Some(Err(error)) => {
                let _entered = self.request.map(RequestId::enter);
                static LINES: LineLimit<String> = LineLimit::new();
                if let Some(left_out) = LINES.admit(error.to_string().as_str()) {
                    tracing::warn!(%error, left_out, "a blob is cut off, because the rest of it could not be read");
                }
                Poll::Ready(Some(Err(BodyError::Blob(error))))
            }
            None => Poll::Ready(Some(Err(BodyError::Length))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::future::poll_fn;

    use actix_web::{App, HttpResponse, HttpServer, web};
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn body(length: u64, chunks: Vec<Result<&'static str, BlobError>>) -> BlobBody {
        BlobBody::of(length, stream::iter(chunks).map(|chunk| chunk.map(|text| Chunk::Bytes(text.into()))).boxed())
    }

    async fn read(mut body: BlobBody) -> Result<String, BodyError> {
        let mut text = String::new();
        while let Some(bytes) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            text.push_str(std::str::from_utf8(&bytes?).unwrap());
        }
        Ok(text)
    }

    #[actix_rt::test]
    async fn a_body_ends_cleanly_only_with_its_announced_length() {
        assert_eq!(body(5, vec![]).size(), BodySize::Sized(5));
        assert_eq!(read(body(5, vec![Ok("he"), Ok("llo")])).await.unwrap(), "hello");
        assert!(matches!(read(body(5, vec![Ok("he")])).await, Err(BodyError::Length)));
        assert!(matches!(read(body(5, vec![Ok("hello!")])).await, Err(BodyError::Length)));
        let wrong = read(body(5, vec![Ok("hell"), Err(BlobError::WrongDigest)])).await;
        assert!(matches!(wrong, Err(BodyError::Blob(BlobError::WrongDigest))));
    }

    /// Returns the head and the body that a client of a server with this handler receives.
    async fn served(method: &str, handler: fn() -> HttpResponse) -> (String, String) {
        let app = move || App::new().default_service(web::to(move || async move { handler() }));
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).await.unwrap();
        handle.stop(false).await;
        // If the body fails at once, not even the head is sent.
        let (head, bytes) = response.split_once("\r\n\r\n").unwrap_or_default();
        (head.to_lowercase(), bytes.to_owned())
    }

    #[actix_rt::test]
    async fn on_the_wire_a_head_has_no_bytes_and_a_failure_cuts_the_connection() {
        let (head, bytes) = served("HEAD", || BlobBody::respond_to_head(HttpResponse::Ok(), 5)).await;
        assert!(head.contains("content-length: 5") && bytes.is_empty(), "{head}");
        let (head, bytes) = served("GET", || HttpResponse::Ok().body(body(5, vec![Ok("hello")]))).await;
        assert!(head.contains("content-length: 5") && bytes == "hello", "{head}");
        let (_, bytes) =
            served("GET", || HttpResponse::Ok().body(body(5, vec![Ok("hell"), Err(BlobError::WrongDigest)]))).await;
        assert!(bytes.len() < 5, "{bytes}");
    }
}
