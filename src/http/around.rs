//! What is done around every request: it gets a short id, which is in `X-Request-Id`, in each line of the log and at the end of
//! the message of what goes wrong; and its answer is counted.

use std::cell::Cell;
use std::pin::pin;

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;

use super::lane::Lane;
use super::measured::Measured;
use crate::auth::random;
use crate::telemetry::RequestId;

/// Bytes that come at once or not at all.
const SHORT: u64 = 32 << 10;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware for all routes.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (id, measured) = (fresh(), Measured::begin(request.path()));
    let mut response = id.during(pin!(next.call(request))).await?;
    measured.answered(response.status().as_u16());
    end_with(&response);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// Many clients have a connection for each request: a short answer and its end are one packet then.
fn end_with(response: &ServiceResponse<impl MessageBody>) {
    let request = response.request();
    let closes = request.head().connection_type() == ConnectionType::Close;
    let short = match response.response().body().size() {
        BodySize::None => true,
        BodySize::Sized(length) => length <= SHORT,
        BodySize::Stream => *request.method() == Method::HEAD,
    };
    if closes
        && short
        && let Some(lane) = request.conn_data::<Lane>()
    {
        lane.end();
    }
}

/// One that this thread has not given for a long time. Tells one request from another, and is no secret.
fn fresh() -> RequestId {
    thread_local! {
        static LAST: Cell<u32> = Cell::new(u32::from_ne_bytes(random::bytes()));
    }
    // Odd, so that every number has its turn; and far from 1, so that ids that follow each other look different.
    LAST.set(LAST.get().wrapping_add(0x9e37_79b9));
    RequestId::new(LAST.get())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let ids: HashSet<String> = (0..100_000).map(|_| fresh().to_string()).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
