//! Several parts of a blob in one response: `multipart/byteranges` (RFC 9110, sections 14.6 and 15.3.7.2). Its length is known from
//! the start; what ends before it cuts the connection, as with any other body.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use super::body::{BlobBody, BodyError};
use crate::actors::blob_cache::OpenedBlob;
use crate::auth::random;
use crate::domain::byte_range::total_length;

/// The parts, each behind its head, and the closing line. The bytes of the parts are copied, never handed to the socket as files:
/// they are small.
pub(super) struct MultipartBody {
    length: u64,
    /// The heads of the parts that are still to come, with the lengths of the parts.
    parts: VecDeque<(Bytes, u64)>,
    /// What the part that was begun still has to come.
    left: u64,
    /// The end; taken once it was given.
    closing: Option<Bytes>,
    bytes: BlobBody,
}

impl MultipartBody {
    /// Responds with these parts of the blob, at least two, in this order.
    pub(super) fn answer(
        mut response: HttpResponseBuilder,
        request: &HttpRequest,
        blob: OpenedBlob,
        parts: Vec<Range<u64>>,
    ) -> HttpResponse {
        // Random, so that no content has it within.
        let boundary = hex::encode(random::bytes::<16>());
        let framing = Framing::new(&boundary, &parts, blob.length());
        if let Ok(media_type) = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")) {
            response.insert_header((CONTENT_TYPE, media_type));
        }
        let bytes = BlobBody::read(request, total_length(&parts), blob.parts(parts));
        response.status(StatusCode::PARTIAL_CONTENT).body(Self::new(framing, bytes))
    }

    fn new(Framing { parts, closing }: Framing, bytes: BlobBody) -> Self {
        let length = parts.iter().map(|(head, length)| head.len() as u64 + length).sum::<u64>() + closing.len() as u64;
        Self { length, parts, left: 0, closing: Some(closing), bytes }
    }
}

/// What stands around the bytes of the parts.
struct Framing {
    parts: VecDeque<(Bytes, u64)>,
    closing: Bytes,
}

impl Framing {
    fn new(boundary: &str, parts: &[Range<u64>], length: u64) -> Self {
        let head = |(index, part): (usize, &Range<u64>)| {
            let line_end = if index == 0 { "" } else { "\r\n" };
            let range = content_range(part, length);
            let head = format!(
                "{line_end}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n"
            );
            (Bytes::from(head), part.end.saturating_sub(part.start))
        };
        let closing = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        Self { parts: parts.iter().enumerate().map(head).collect(), closing }
    }
}

/// The value of `Content-Range` for this part, not empty, of content that is `length` bytes long (RFC 9110, section 14.4).
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
            if let Some((head, length)) = self.parts.pop_front() {
                self.left = length;
                return Poll::Ready(Some(Ok(head)));
            }
            return Poll::Ready(self.closing.take().map(Ok));
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

    use futures::StreamExt;
    use futures::stream;

    use super::*;
    use crate::actors::blob_cache::Piece;

    async fn read(parts: &[Range<u64>], pieces: &[&'static str]) -> (u64, Result<String, BodyError>) {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok(Piece::Bytes(Bytes::from_static(piece.as_bytes())))).collect();
        let bytes = BlobBody::of(total_length(parts), stream::iter(pieces).boxed());
        let mut body = MultipartBody::new(Framing::new("XX", parts, 10), bytes);
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
        for pieces in [&["h"][..], &["hi"], &["hia"], &[]] {
            assert!(matches!(read(&[7..9, 0..1], pieces).await.1, Err(BodyError::Length)), "{pieces:?}");
        }
    }
}
