//! A request and its response in forms that can go to another thread.

use std::net::SocketAddr;

use actix_http::{Method, Request, Uri};
use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use crate::http::form_body::BodyFault;
use crate::http::refusals::{Refused, Subject};

/// A request.
pub(super) struct PassedRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    body: SentBody,
}

/// The body of a request, as an extension of it: it was read before the request was passed on.
#[derive(Clone)]
pub(super) struct SentBody(pub(super) Result<Bytes, BodyFault>);

/// A response.
pub(super) struct PassedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    refused: Option<Refused>,
    subject: Subject,
}

impl PassedRequest {
    /// Copies a request whose body was read.
    pub(super) fn of(request: &HttpRequest, body: SentBody) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { method, uri, headers: request.headers().clone(), peer: request.peer_addr(), body }
    }

    /// Returns the request for an application on this thread.
    pub(super) fn into_request(self) -> Request {
        let mut request = Request::with_payload(Payload::None);
        let head = request.head_mut();
        (head.method, head.uri, head.headers, head.peer_addr) = (self.method, self.uri, self.headers, self.peer);
        request.extensions_mut().insert(self.body);
        request
    }
}

impl PassedResponse {
    /// Collects a response, with the properties that the log has of it. Returns `None` if its body fails.
    pub(super) async fn of(response: ServiceResponse<impl MessageBody>) -> Option<Self> {
        let (request, response) = response.into_parts();
        // Pages identify people by sessions only: a header that names somebody proves nothing.
        let subject = request.extensions_mut().remove().unwrap_or_default();
        let (mut response, body) = response.into_parts();
        let refused = response.extensions_mut().remove();
        let (status, headers) = (response.status(), response.headers().clone());
        Some(Self { status, headers, body: to_bytes(body).await.ok()?, refused, subject })
    }

    /// Returns the response to the request that was passed on.
    pub(super) fn into_response(self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status).body(self.body);
        let headers = self.headers.into_iter().filter(|(name, _)| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name));
        headers.for_each(|(name, value)| response.headers_mut().append(name, value));
        request.extensions_mut().insert(self.subject);
        self.refused.into_iter().for_each(|refused| refused.attach(&mut response));
        response
    }
}
