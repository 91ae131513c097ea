//! Middleware for all routes: assigns a request id (`X-Request-Id`, log lines, error messages), counts the
//! response, and records the state of the connection for its socket.

use std::pin::pin;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;

use super::refusal_log;
use super::request_id::next_request_id;
use super::request_metrics::Measured;
use super::send_queue::SendQueue;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Handles one request: middleware for all routes.
pub(crate) async fn instrument(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let queue = request.conn_data::<SendQueue>().cloned();
    let pending = queue.as_ref().map(SendQueue::begin_request);
    let (id, measured) = (next_request_id(), Measured::begin(request.path()));
    let mut response = id.during(pin!(next.call(request))).await?;
    let status = response.status();
    measured.record(status.as_u16());
    if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE)
        && let Some(queue) = &queue
    {
        queue.cut_request();
    }
    refusal_log::trace(&response, id);
    drop(pending);
    if let Some(queue) = queue {
        if queue.is_last() {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        mark_end(&response, &queue);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// Marks the connection as ending behind this response, if its bytes are all available. Many clients open a
/// connection for each request; response and FIN then leave in one packet.
fn mark_end(response: &ServiceResponse<impl MessageBody>, queue: &SendQueue) {
    let request = response.request().head();
    let closes = request.connection_type() == ConnectionType::Close;
    // If a handler did not read the request's body, the server reads the rest of it before it closes the
    // connection.
    let has_body = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
    queue.set_ending(closes && !has_body && queue.is_idle());
}
