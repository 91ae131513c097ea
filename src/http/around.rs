//! What is done around every request: it gets a short id, which is in `X-Request-Id`, in each line of the log and at the end of
//! the message of what goes wrong; and its answer is counted.

use std::cell::Cell;
use std::pin::pin;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;

use super::lane::Lane;
use super::measured::Measured;
use super::refusals;
use crate::auth::random;
use crate::telemetry::RequestId;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware for all routes.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let lane = request.conn_data::<Lane>().cloned();
    let pending = lane.as_ref().map(Lane::request);
    let (id, measured) = (fresh(), Measured::begin(request.path()));
    let mut response = id.during(pin!(next.call(request))).await?;
    let status = response.status();
    measured.answered(status.as_u16());
    if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE)
        && let Some(lane) = &lane
    {
        lane.cut_request();
    }
    refusals::trace(&response, id);
    drop(pending);
    if let Some(lane) = lane {
        if lane.is_last() {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        end_with(&response, &lane);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// Many clients have a connection for each request: an answer that is all there, and its end, are one packet then.
fn end_with(response: &ServiceResponse<impl MessageBody>, lane: &Lane) {
    let request = response.request().head();
    let closes = request.connection_type() == ConnectionType::Close;
    // Of a body that nobody read the rest is waited for before the end.
    let has_body = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
    lane.end(closes && !has_body && lane.is_idle());
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
