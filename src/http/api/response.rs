//! Responses of the API whose type states status and body, so that the description of an endpoint is that of its
//! handler.

mod page;
mod time;

use std::borrow::Cow;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

pub(in crate::http::api) use self::page::{KeysetPage, ListPage};
pub(in crate::http::api) use self::time::{Day, Time};

/// A response of this status with a JSON body. The type of a handler's result states the status.
pub(in crate::http::api) struct Body<T, const STATUS: u16>(pub(in crate::http::api) T);

/// `200 OK`.
pub(in crate::http::api) type Found<T> = Body<T, 200>;

/// `201 Created`.
pub(in crate::http::api) type Created<T> = Body<T, 201>;

/// `202 Accepted`: the work goes on after the response.
pub(in crate::http::api) type Accepted<T> = Body<T, 202>;

/// `204 No Content`.
pub(in crate::http::api) struct NoContent;

/// A response that describes itself.
pub(in crate::http::api) trait DescribedResponse: Responder {
    /// Returns the status and the body.
    fn description(schemas: &mut SchemaGenerator) -> ResponseDescription;
}

/// Status and body of a response.
pub(in crate::http::api) struct ResponseDescription {
    /// The status.
    pub(in crate::http::api) status: StatusCode,
    /// The schema of the body; `None`: there is no body.
    pub(in crate::http::api) body: Option<Schema>,
    /// The kind of pages, for a list.
    pub(in crate::http::api) pages: Option<Pages>,
}

/// The ways in which a list is divided into pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::api) enum Pages {
    /// By their number.
    Numbered,
    /// By their number, or after the last item of the page before.
    NumberedOrKeyset,
}

/// The body of the response to a request whose work continues in the background, as in GitLab.
#[derive(Serialize, JsonSchema)]
pub(in crate::http::api) struct Message {
    message: Cow<'static, str>,
}

impl Message {
    /// The work was begun.
    pub(in crate::http::api) const ACCEPTED: Self = Self { message: Cow::Borrowed("202 Accepted") };
}

impl<T: Serialize, const STATUS: u16> Responder for Body<T, STATUS> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::build(status(STATUS)).json(self.0)
    }
}

impl<T: Serialize + JsonSchema, const STATUS: u16> DescribedResponse for Body<T, STATUS> {
    fn description(schemas: &mut SchemaGenerator) -> ResponseDescription {
        let body = Some(schemas.subschema_for::<T>());
        ResponseDescription { status: status(STATUS), body, pages: None }
    }
}

impl Responder for NoContent {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

impl DescribedResponse for NoContent {
    fn description(_: &mut SchemaGenerator) -> ResponseDescription {
        ResponseDescription { status: StatusCode::NO_CONTENT, body: None, pages: None }
    }
}

/// Returns the status with this number, which one of the types above states.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
