//! A page of a list as a response.

use std::marker::PhantomData;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder};
use schemars::{JsonSchema, SchemaGenerator};

use super::{DescribedResponse, Pages, ResponseDescription};

/// A page of a list of `T`, with the headers that name the other pages. Made by
/// [`Page`](crate::http::api::pagination::Page).
pub(in crate::http::api) struct ListPage<T> {
    response: HttpResponse,
    item: PhantomData<T>,
}

/// A page of a list of `T` that may continue after an item. Made by
/// [`Part`](crate::http::api::pagination::keyset::Part).
pub(in crate::http::api) struct KeysetPage<T>(ListPage<T>);

impl<T> ListPage<T> {
    /// Makes a page of this response, whose body is an array of `T`.
    pub(in crate::http::api) fn of(response: HttpResponse) -> Self {
        Self { response, item: PhantomData }
    }

    /// Returns the response itself.
    #[cfg(test)]
    pub(in crate::http::api) fn response(self) -> HttpResponse {
        self.response
    }
}

impl<T> KeysetPage<T> {
    /// Makes a page of this response, whose body is an array of `T`.
    pub(in crate::http::api) fn of(response: HttpResponse) -> Self {
        Self(ListPage::of(response))
    }

    /// Returns the response itself.
    #[cfg(test)]
    pub(in crate::http::api) fn response(self) -> HttpResponse {
        self.0.response
    }
}

impl<T> From<ListPage<T>> for KeysetPage<T> {
    fn from(page: ListPage<T>) -> Self {
        Self(page)
    }
}

impl<T> Responder for ListPage<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.response
    }
}

impl<T> Responder for KeysetPage<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0.response
    }
}

impl<T: JsonSchema> DescribedResponse for ListPage<T> {
    fn description(schemas: &mut SchemaGenerator) -> ResponseDescription {
        list::<T>(schemas, Pages::Numbered)
    }
}

impl<T: JsonSchema> DescribedResponse for KeysetPage<T> {
    fn description(schemas: &mut SchemaGenerator) -> ResponseDescription {
        list::<T>(schemas, Pages::NumberedOrKeyset)
    }
}

fn list<T: JsonSchema>(schemas: &mut SchemaGenerator, pages: Pages) -> ResponseDescription {
    let body = Some(schemas.subschema_for::<Vec<T>>());
    ResponseDescription { status: StatusCode::OK, body, pages: Some(pages) }
}
