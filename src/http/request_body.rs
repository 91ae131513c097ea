//! The body of a request, whole and in time. A client that is slow on purpose must neither keep its connection for ever, nor
//! have its request carried out long after it was found to be allowed.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::rt::time::timeout;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};

/// How long a body may take to arrive: it is a small form at most.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is longer than any request needs.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// It ended early, or is malformed.
    Broken,
}

/// All of the body, at most as long as the server's limit.
pub(super) fn whole(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, BodyFault>> + use<> {
    let body = timeout(ARRIVES_WITHIN, Bytes::from_request(request, payload));
    async {
        let body = body.await.map_err(|_elapsed| BodyFault::TooSlow)?;
        body.map_err(|error| match error.as_response_error().status_code().as_u16() {
            413 => BodyFault::TooLarge,
            _ => BodyFault::Broken,
        })
    }
}
