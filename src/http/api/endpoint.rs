//! An endpoint of the API: a method on a path, its handler, and its description. The response is described by the type
//! that the handler returns.

pub(in crate::http::api) mod parameter;

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Route, web};
use schemars::SchemaGenerator;

use self::parameter::Parameter;
use super::error::ApiError;
use super::response::{DescribedResponse, ResponseDescription};

/// A method on a path with its handler and its description.
pub(in crate::http::api) struct Endpoint {
    /// The method. `GET` also serves `HEAD`.
    pub(in crate::http::api) method: Method,
    /// The path below `/api/v4`, as actix-web matches it.
    pub(in crate::http::api) path: &'static str,
    /// Its effect: a sentence without its full stop.
    pub(in crate::http::api) summary: &'static str,
    /// The callers that it accepts.
    pub(in crate::http::api) access: Access,
    /// The parameters besides those in the path, and those of pages.
    pub(in crate::http::api) parameters: &'static [Parameter],
    /// The refusals that not every endpoint has.
    pub(in crate::http::api) refusals: Vec<u16>,
    /// The response of success.
    pub(in crate::http::api) success: fn(&mut SchemaGenerator) -> ResponseDescription,
    /// The handler.
    pub(in crate::http::api) route: Route,
}

/// The callers that an endpoint accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::api) enum Access {
    /// Everyone, without a credential.
    Public,
    /// Users with a token whose scopes allow the method.
    SignedIn,
    /// Users with a token, whatever its scopes.
    Token,
    /// Users with their name and password.
    Password,
    /// Users with their name and password, or with a token.
    TokenOrPassword,
    /// Whoever sees the group: its members, and everyone who may see a public group.
    Visitor,
    /// Members of the group, and of the groups above it.
    Member,
    /// Owners of the group, and of the groups above it.
    Owner,
    /// Owners of the group above; administrators where there is none.
    OwnerAbove,
    /// The user in question, and owners of the group.
    SelfOrOwner,
    /// The user in question, and administrators.
    SelfOrAdministrator,
    /// Administrators.
    Administrator,
}

impl Endpoint {
    /// Describes `GET` of a path.
    pub(in crate::http::api) fn get<R: DescribedResponse + 'static, Args: FromRequest + 'static>(
        path: &'static str,
        handler: impl Handler<Args, Output = Result<R, ApiError>>,
    ) -> Self {
        Self::of(Method::GET, path, handler, crate::http::get())
    }

    /// Describes `POST` to a path.
    pub(in crate::http::api) fn post<R: DescribedResponse + 'static, Args: FromRequest + 'static>(
        path: &'static str,
        handler: impl Handler<Args, Output = Result<R, ApiError>>,
    ) -> Self {
        Self::of(Method::POST, path, handler, web::post())
    }

    /// Describes `PUT` to a path.
    pub(in crate::http::api) fn put<R: DescribedResponse + 'static, Args: FromRequest + 'static>(
        path: &'static str,
        handler: impl Handler<Args, Output = Result<R, ApiError>>,
    ) -> Self {
        Self::of(Method::PUT, path, handler, web::put())
    }

    /// Describes `DELETE` of a path.
    pub(in crate::http::api) fn delete<R: DescribedResponse + 'static, Args: FromRequest + 'static>(
        path: &'static str,
        handler: impl Handler<Args, Output = Result<R, ApiError>>,
    ) -> Self {
        Self::of(Method::DELETE, path, handler, web::delete())
    }

    /// States what it does.
    pub(in crate::http::api) fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// States the callers that it accepts. Without this call: users with a token.
    pub(in crate::http::api) fn by(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// States its parameters.
    pub(in crate::http::api) fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    /// States a refusal that not every endpoint has.
    pub(in crate::http::api) fn may_refuse(mut self, status: u16) -> Self {
        self.refusals.push(status);
        self
    }

    fn of<R: DescribedResponse + 'static, Args: FromRequest + 'static>(
        method: Method,
        path: &'static str,
        handler: impl Handler<Args, Output = Result<R, ApiError>>,
        route: Route,
    ) -> Self {
        Self {
            method,
            path,
            summary: "",
            access: Access::SignedIn,
            parameters: &[],
            refusals: Vec::new(),
            success: R::description,
            route: route.to(handler),
        }
    }
}

impl Access {
    /// Returns who may call, as a phrase.
    pub(in crate::http::api) fn phrase(self) -> &'static str {
        match self {
            Self::Public => "everyone",
            Self::SignedIn => "every user",
            Self::Token => "every user, whatever the scopes of the token",
            Self::Password => "every user, with name and password",
            Self::TokenOrPassword => "every user, also with name and password",
            Self::Visitor => "whoever sees the group",
            Self::Member => "members of the group",
            Self::Owner => "owners of the group",
            Self::OwnerAbove => "owners of the group above, and administrators",
            Self::SelfOrOwner => "the user, and owners of the group",
            Self::SelfOrAdministrator => "the user, and administrators",
            Self::Administrator => "administrators",
        }
    }
}
