//! The body of a blob's answer: the one place that decides how its bytes get to the socket. Has a length from the start; what
//! ends before it is an error, which cuts the connection, never a clean end.
//!
//! Where the connection's [`Lane`] takes files, they are lent to the socket, which sends them without reading them; small answers, and
//! what is in no file, are written like any other body.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures::StreamExt;

use super::lane::{Lane, Sending};
use crate::actors::blob_cache::{BlobError, Giving, OpenedBlob, Piece, Pieces};
use crate::telemetry::{RequestId, served_bytes};

/// So many bytes are sooner copied behind the head of their answer than sent on their own.
const SMALL: u64 = 32 * 1024;

/// Some of the bytes of a blob, as a response body.
pub(super) struct BlobBody {
    size: BodySize,
    remaining: u64,
    pieces: Pieces,
    /// Its hold on the connection.
    lane: Option<Sending>,
    /// The request, for what is logged after its answer began.
    request: Option<RequestId>,
}

/// Why the connection is cut in the middle of a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The rest cannot be had.
    #[error(transparent)]
    Blob(BlobError),
    /// There is another number of bytes than was announced.
    #[error("a body has another length than was announced")]
    Length,
}

impl BlobBody {
    /// Answers with these bytes of the blob, as they become readable. The range lies within [`OpenedBlob::length`].
    pub(super) fn answer(
        mut response: HttpResponseBuilder,
        request: &HttpRequest,
        blob: OpenedBlob,
        range: Range<u64>,
    ) -> HttpResponse {
        if let Some(bytes) = blob.in_memory(&range) {
            served_bytes().increment(bytes.len() as u64);
            return response.body(bytes);
        }
        let length = range.end.saturating_sub(range.start);
        let lane = request.conn_data::<Lane>();
        let lent = length > SMALL && lane.is_some_and(Lane::takes_files);
        let pieces = blob.pieces(range, if lent { Giving::Lend } else { Giving::Read });
        let body = Self { lane: lane.map(Lane::enter), ..Self::of(length, pieces) };
        if !lent {
            return response.body(body);
        }
        // What the socket sends itself, the server cannot count.
        response.no_chunking(length).body(Self { size: BodySize::Stream, ..body })
    }

    /// Answers a `HEAD` for so many bytes, which the server does not count.
    pub(super) fn answer_head(mut response: HttpResponseBuilder, length: u64) -> HttpResponse {
        response.no_chunking(length).body(Nothing)
    }

    /// So many bytes, read, as part of the response to this request.
    pub(super) fn read(request: &HttpRequest, length: u64, pieces: Pieces) -> Self {
        Self { lane: request.conn_data::<Lane>().map(Lane::enter), ..Self::of(length, pieces) }
    }

    pub(super) fn of(length: u64, pieces: Pieces) -> Self {
        Self { size: BodySize::Sized(length), remaining: length, pieces, lane: None, request: RequestId::present() }
    }

    /// Gives bytes to the server, and a part to the socket; then there is nothing to do until that is sent.
    fn give(&mut self, piece: Piece) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(remaining) = self.remaining.checked_sub(piece.length()) else {
            return Poll::Ready(Some(Err(BodyError::Length)));
        };
        self.remaining = remaining;
        match (piece, &self.lane) {
            (Piece::Bytes(bytes), _) => {
                served_bytes().increment(bytes.len() as u64);
                Poll::Ready(Some(Ok(bytes)))
            }
            (Piece::Part(part), Some(lane)) if lane.takes_files() => {
                lane.put(part, served_bytes().clone());
                Poll::Pending
            }
            (Piece::Part(_), _) => Poll::Ready(Some(Err(BodyError::Length))),
        }
    }
}

/// The body of the answer to a `HEAD`, of which the server knows no length.
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
        if self.lane.as_ref().is_some_and(|lane| !lane.is_done()) {
            // The socket wakes this task, too.
            return Poll::Pending;
        }
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        match ready!(self.pieces.poll_next_unpin(cx)) {
            Some(Ok(piece)) => self.give(piece),
            Some(Err(error)) => {
                let _entered = self.request.map(RequestId::enter);
                tracing::warn!(%error, "a blob is cut off: its rest cannot be had");
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

    fn body(length: u64, pieces: Vec<Result<&'static str, BlobError>>) -> BlobBody {
        BlobBody::of(length, stream::iter(pieces).map(|piece| piece.map(|text| Piece::Bytes(text.into()))).boxed())
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

    /// What a connection to a server that answers with this body carries after the head.
    async fn served(method: &str, answer: fn() -> HttpResponse) -> (String, String) {
        let app = move || App::new().default_service(web::to(move || async move { answer() }));
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        handle.stop(false).await;
        // Where the failure comes at once, not even the head gets out.
        let (head, bytes) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (head.to_lowercase(), bytes.to_owned())
    }

    #[actix_rt::test]
    async fn on_the_wire_a_head_has_no_bytes_and_a_failure_cuts_the_connection() {
        let (head, bytes) = served("HEAD", || BlobBody::answer_head(HttpResponse::Ok(), 5)).await;
        assert!(head.contains("content-length: 5") && bytes.is_empty(), "{head}");
        let (head, bytes) = served("GET", || HttpResponse::Ok().body(body(5, vec![Ok("hello")]))).await;
        assert!(head.contains("content-length: 5") && bytes == "hello", "{head}");
        let (_, bytes) =
            served("GET", || HttpResponse::Ok().body(body(5, vec![Ok("hell"), Err(BlobError::WrongDigest)]))).await;
        assert!(bytes.len() < 5, "{bytes}");
    }
}
