//! Reading a request's body, with a limit on time and size. A deliberately slow client must neither keep its
//! connection for ever, nor have its request carried out long after it was authorized.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, BytesMut};
use futures::StreamExt;

/// Maximum time until a body is complete. The longest one is a small form.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum length of a request's body, in bytes. Requests carry credentials and small forms at most, and clients
/// without a credential may send as much on every connection.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Reason why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is longer than [`MAX_BODY_BYTES`].
    TooLarge,
    /// It was not complete after [`BODY_TIMEOUT`].
    TooSlow,
    /// It is compressed, or encoded in another way.
    Encoded,
    /// It ended early, or is malformed.
    Broken,
}

/// Reads the whole body, as it was sent. One that is encoded is refused: decoded, a few kilobytes may be gigabytes, and
/// actix-web's own reader limits the length only after it has decoded a chunk.
///
/// # Errors
/// The body is too long, late, encoded, or incomplete.
pub(super) fn whole(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, BodyFault>> + use<> {
    let (encoded, length) = (is_encoded(request), announced_length(request));
    let payload = payload.take();
    async move {
        match length {
            _ if encoded => Err(BodyFault::Encoded),
            Some(length) if length > MAX_BODY_BYTES => Err(BodyFault::TooLarge),
            _ => timeout(BODY_TIMEOUT, read(payload)).await.unwrap_or(Err(BodyFault::TooSlow)),
        }
    }
}

async fn read(mut payload: Payload) -> Result<Bytes, BodyFault> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyFault::Broken)?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(BodyFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn is_encoded(request: &HttpRequest) -> bool {
    request.headers().get_all(CONTENT_ENCODING).any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Returns the length of the body that the head announces. A malformed one is refused before, where the head is read.
fn announced_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
