//! The body of a response that is all in memory and long. The server copies what a body gives it into the connection's write
//! buffer, and keeps that: so it is given a chunk at a time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

/// Longer bodies are given in chunks of this length.
const CHUNK_BYTES: usize = 64 << 10;

/// What is left of a long body.
struct LongBody(Bytes);

/// Completes a response with these bytes.
pub(super) fn respond(mut response: HttpResponseBuilder, bytes: Bytes) -> HttpResponse {
    if bytes.len() <= CHUNK_BYTES { response.body(bytes) } else { response.body(LongBody(bytes)) }
}

impl MessageBody for LongBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.0.len().min(CHUNK_BYTES);
        Poll::Ready((length > 0).then(|| Ok(self.0.split_to(length))))
    }
}
