//! Reading a request's body, with a limit on time and size. A deliberately slow client must neither keep its
//! connection for ever, nor have its request carried out long after it was authorized.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::rt::time::timeout;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};

/// Maximum time until a body is complete. The longest one is a small form.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reason why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is longer than the server's limit.
    TooLarge,
    /// It was not complete after [`BODY_TIMEOUT`].
    TooSlow,
    /// It ended early, or is malformed.
    Broken,
}

/// Reads the whole body.
///
/// # Errors
/// The body is longer than the server's limit, late, or incomplete.
pub(super) fn whole(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, BodyFault>> + use<> {
    let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, payload));
    async {
        let body = body.await.map_err(|_elapsed| BodyFault::TooSlow)?;
        body.map_err(|error| match error.as_response_error().status_code().as_u16() {
            413 => BodyFault::TooLarge,
            _ => BodyFault::Broken,
        })
    }
}
