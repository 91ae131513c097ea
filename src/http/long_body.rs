//! The body of a long response that is in memory as a whole. actix-http copies all that a body returns into the
//! connection's write buffer, and keeps the buffer's capacity. So a long body is returned in chunks.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

/// Length in bytes of a chunk. Shorter bodies are sent whole.
const CHUNK_BYTES: usize = 64 << 10;

/// The rest of a long body.
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
