//! Several ranges of a blob in one response: `multipart/byteranges` (RFC 9110, sections 14.6 and 15.3.7.2). Its
//! length is known from the start; if the source ends earlier, the connection is cut, as with any other body.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use super::body::{BlobBody, BodyError};
use crate::actors::blob_cache::BlobReader;
use crate::actors::traffic::ServedBytes;
use crate::auth::random;
use crate::domain::byte_range::total_length;

/// The parts, each preceded by its headers, and the closing delimiter. The bytes of the parts are copied, not
/// handed to the socket as files, because they are few.
pub(super) struct MultipartBody {
    length: u64,
    framing: Framing,
    /// The parts that have not begun.
    parts: VecDeque<Range<u64>>,
    /// True once the first part has begun.
    begun: bool,
    /// Number of bytes that remain of the current part.
    left: u64,
    /// True once the closing delimiter was returned.
    closed: bool,
    bytes: BlobBody,
}

impl MultipartBody {
    /// Completes the response with these parts of the blob, at least two, in this order.
    pub(super) fn respond(
        mut response: HttpResponseBuilder,
        request: &HttpRequest,
        blob: BlobReader,
        parts: Vec<Range<u64>>,
        served: ServedBytes,
    ) -> HttpResponse {
        // Random, so that the content does not contain it.
        let framing = Framing { boundary: hex::encode(random::bytes::<16>()), whole: blob.length() };
        let media_type = format!("multipart/byteranges; boundary={}", framing.boundary);
        if let Ok(media_type) = HeaderValue::from_str(&media_type) {
            response.insert_header((CONTENT_TYPE, media_type));
        }
        let bytes = BlobBody::read(request, total_length(&parts), blob.parts(parts.clone()), served);
        response.status(StatusCode::PARTIAL_CONTENT).body(Self::new(framing, parts, bytes))
    }

    fn new(framing: Framing, parts: Vec<Range<u64>>, bytes: BlobBody) -> Self {
        let heads = parts.iter().enumerate().map(|(index, part)| framing.head(part, index == 0).len() as u64);
        let heads: u64 = heads.sum();
        let length = heads + total_length(&parts) + framing.closing().len() as u64;
        Self { length, framing, parts: parts.into(), begun: false, left: 0, closed: false, bytes }
    }
}

/// The text around the parts. It is generated when it is sent, so that a client that does not read takes no memory
/// for it.
struct Framing {
    boundary: String,
    /// Length of the whole blob, in bytes.
    whole: u64,
}

impl Framing {
    fn head(&self, part: &Range<u64>, first: bool) -> String {
        let (boundary, range) = (&self.boundary, content_range(part, self.whole));
        let line_end = if first { "" } else { "\r\n" };
        format!("{line_end}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n")
    }

    fn closing(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}

/// Returns the `Content-Range` of this part, which is not empty, of content that is `length` bytes long (RFC 9110,
/// section 14.4).
pub(super) fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1))
}

impl MessageBody for MultipartBody {
    type Error = BodyError;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            if let Some(part) = self.parts.pop_front() {
                self.left = part.end.saturating_sub(part.start);
                let first = !mem::replace(&mut self.begun, true);
                return Poll::Ready(Some(Ok(self.framing.head(&part, first).into())));
            }
            let closing = (!mem::replace(&mut self.closed, true)).then(|| self.framing.closing());
            return Poll::Ready(closing.map(|closing| Ok(closing.into())));
        }
        match ready!(Pin::new(&mut self.bytes).poll_next(cx)) {
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(bytes)))
                }
                None => Poll::Ready(Some(Err(BodyError::Length))),
            },
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(Some(Err(BodyError::Length))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::future::poll_fn;

    use futures::{StreamExt, stream};

    use super::*;
    use crate::actors::blob_cache::Chunk;

    async fn read(parts: &[Range<u64>], chunks: &[&'static str]) -> (u64, Result<String, BodyError>) {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok(Chunk::Bytes(Bytes::from_static(chunk.as_bytes())))).collect();
        let bytes = BlobBody::of(total_length(parts), stream::iter(chunks).boxed());
        let mut body = MultipartBody::new(Framing { boundary: "XX".to_owned(), whole: 10 }, parts.to_vec(), bytes);
        let (length, mut text) = (body.length, String::new());
        while let Some(bytes) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            match bytes {
                Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(error) => return (length, Err(error)),
            }
        }
        (length, Ok(text))
    }

    #[actix_rt::test]
    async fn each_part_has_its_head_and_the_length_is_exact() {
        let (length, text) = read(&[7..9, 0..1], &["h", "i", "a"]).await;
        let text = text.unwrap();
        let expected = "--XX\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 7-8/10\r\n\r\nhi\r\n\
                        --XX\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-0/10\r\n\r\na\r\n--XX--\r\n";
        assert_eq!(text, expected);
        assert_eq!(length, expected.len() as u64);
    }

    #[actix_rt::test]
    async fn what_ends_early_or_runs_over_a_part_is_an_error() {
        for chunks in [&["h"][..], &["hi"], &["hia"], &[]] {
            assert!(matches!(read(&[7..9, 0..1], chunks).await.1, Err(BodyError::Length)), "{chunks:?}");
        }
    }
}
