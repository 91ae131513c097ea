//! Gives every request a short id: in `X-Request-Id`, in the log, and at the end of the message of what goes wrong.

use std::cell::Cell;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};

use tracing::Instrument;

use crate::auth::random;

/// The id of a request: 8 hexadecimal digits.
#[derive(Clone, Debug)]
struct RequestId(String);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware that gives the id.
pub(super) async fn give(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = fresh();
    request.extensions_mut().insert(RequestId(id.clone()));
    // At the level of errors, so that no filter takes the id from those lines that it lets through.
    let span = tracing::error_span!("request", id);
    let mut response = next.call(request).instrument(span).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// One that this thread has not given for a long time. Tells one request from another, and is no secret.
fn fresh() -> String {
    thread_local! {
        static LAST: Cell<u32> = Cell::new(u32::from_ne_bytes(random::bytes()));
    }
    // Odd, so that every number has its turn; and far from 1, so that ids that follow each other look different.
    let id = LAST.get().wrapping_add(0x9e37_79b9);
    LAST.set(id);
    hex::encode(id.to_be_bytes())
}

/// The id of this request.
pub(super) fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_are_told_apart_by_8_digits() {
        let ids: HashSet<String> = (0..100_000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 100_000);
        assert!(ids.iter().all(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
}
