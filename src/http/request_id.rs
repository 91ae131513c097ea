//! Gives every request a short id: in `X-Request-Id`, in the log, and at the end of the message of what goes wrong.

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
    let id = hex::encode(random::bytes::<4>());
    request.extensions_mut().insert(RequestId(id.clone()));
    // At the level of errors, so that no filter takes the id from those lines that it lets through.
    let span = tracing::error_span!("request", id);
    let mut response = next.call(request).instrument(span).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// The id of this request.
pub(super) fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}
