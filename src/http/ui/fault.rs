//! Failures of the console, as pages that say what is wrong and what to do. The console's only place that maps failures
//! to status codes.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::{Markup, html};

use super::address;
use super::page::{self, Frame};
use crate::http::api::ApiError;
use crate::http::refusals::Refused;

/// A request that failed, and the frame of its page.
#[derive(Debug)]
pub(super) struct Fault {
    // Boxed, because results that have not failed would be as large.
    kind: Box<Kind>,
    frame: Box<Frame>,
}

/// The reason why a request failed.
#[derive(Debug)]
pub(super) enum Kind {
    /// There is no session. The field is the address to return to after signing in.
    SignedOut(String),
    /// There is no such group, or the user is no member of it.
    NoGroup { path: String, username: String },
    /// The page is for the owners of a group, and the user is a member.
    OwnersOnly { path: String, owners: Vec<String>, username: String },
    /// The page is for administrators.
    AdministratorsOnly { username: String },
    /// The group has no such image. The fields are the path of the group and the name of the image.
    NoImage { path: String, image: String },
    /// There is no such token, or not any more. The field is the address of the list.
    NoToken { list: String },
    /// There is no page with this address.
    NoPage,
    /// A form does not come from a page of this session.
    Forged,
    /// A form cannot be used. The field is the reason, as a sentence.
    Invalid(String),
    /// A rule or a failure prevents it. The sentence says which.
    Refused { status: StatusCode, sentence: String },
}

impl Fault {
    /// Creates a fault.
    pub(super) fn new(kind: Kind, frame: Frame) -> Self {
        Self { kind: Box::new(kind), frame: Box::new(frame) }
    }

    /// Returns the fault of a request without a session: it leads to the page for signing in, and back.
    pub(super) fn signed_out(request: &HttpRequest) -> Self {
        let back = if request.method().is_safe() { request.uri().to_string() } else { "/".to_owned() };
        Self::new(Kind::SignedOut(back), Frame::of_nobody(String::new()))
    }

    fn page(&self) -> Markup {
        match &*self.kind {
            Kind::SignedOut(_) => html! {},
            Kind::NoGroup { path, username } => no_group(path, username),
            Kind::OwnersOnly { path, owners, username } => owners_only(path, owners, username),
            Kind::AdministratorsOnly { username } => html! {
                h1 { "This page is for administrators" }
                p {
                    "You are signed in as " (username) ". An administrator of this service can see it, or make you one."
                }
                (your_groups())
            },
            Kind::NoImage { path, image } => html! {
                h1 { "The cache of " (path) " has no image " (image) }
                p { "It was deleted, or nobody has pulled it through this group yet. A pull brings it." }
                p.actions { a.button href=(address::of_group(path)) { "Images of " (path) } }
            },
            Kind::NoToken { list } => html! {
                h1 { "There is no such token, or not any more" }
                p { "Somebody may have revoked it." }
                p.actions { a.button href=(list) { "Tokens" } }
            },
            Kind::NoPage => html! {
                h1 { "There is no page with this address" }
                p { "Look whether it is spelled right, or begin with your groups." }
                (your_groups())
            },
            Kind::Forged => html! {
                h1 { "Nothing was changed: this form is not from your present session" }
                p {
                    "You may have signed out and in again since the page was opened. Open the page again, and repeat "
                    "it there."
                }
                (your_groups())
            },
            Kind::Invalid(sentence) => html! {
                h1 { "Nothing was changed" }
                p { (sentence) " Go back, and try it again." }
                (your_groups())
            },
            Kind::Refused { sentence, status } => html! {
                h1 { @if status.is_server_error() { "This is not possible now" } @else { "This is not possible" } }
                p { (sentence) }
                (your_groups())
            },
        }
    }

    fn reason(&self) -> &'static str {
        match &*self.kind {
            Kind::SignedOut(_) => "unauthorized",
            Kind::NoGroup { .. } | Kind::NoImage { .. } | Kind::NoToken { .. } => "not_found",
            Kind::OwnersOnly { .. } | Kind::AdministratorsOnly { .. } => "no_access",
            Kind::NoPage => "no_route",
            Kind::Forged | Kind::Invalid(_) => "wrong_request",
            Kind::Refused { status, .. } if status.is_server_error() => "busy",
            Kind::Refused { .. } => "refused",
        }
    }
}

impl Kind {
    /// Returns the kind of fault for what the API would refuse in this way.
    pub(super) fn of(error: &ApiError) -> Self {
        let (status, text) = (error.status_code(), error.to_string());
        if status == StatusCode::UNAUTHORIZED {
            return Self::SignedOut("/".to_owned());
        }
        if let ApiError::Cache(_) = error {
            let sentence =
                "The index of the cache cannot be read or changed. A restart of the service rebuilds it.".to_owned();
            return Self::Refused { status, sentence };
        }
        let sentence = text.split_once(" - ").map_or(text.as_str(), |(_, sentence)| sentence);
        let end = if sentence.ends_with('.') { "" } else { "." };
        Self::Refused { status, sentence: format!("{sentence}{end}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.kind {
            Kind::SignedOut(_) => "not signed in",
            Kind::NoGroup { .. } => "no such group, or no member of it",
            Kind::OwnersOnly { .. } => "no owner of the group",
            Kind::AdministratorsOnly { .. } => "no administrator",
            Kind::NoImage { .. } => "no such image",
            Kind::NoToken { .. } => "no such token",
            Kind::NoPage => "no such page",
            Kind::Forged => "the form is not from a page of this session",
            Kind::Invalid(sentence) | Kind::Refused { sentence, .. } => sentence,
        })
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        match &*self.kind {
            Kind::SignedOut(_) => StatusCode::SEE_OTHER,
            Kind::NoGroup { .. } | Kind::NoImage { .. } | Kind::NoToken { .. } | Kind::NoPage => StatusCode::NOT_FOUND,
            Kind::OwnersOnly { .. } | Kind::AdministratorsOnly { .. } | Kind::Forged => StatusCode::FORBIDDEN,
            Kind::Invalid(_) => StatusCode::BAD_REQUEST,
            Kind::Refused { status, .. } => *status,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Kind::SignedOut(back) = &*self.kind {
            let query = serde_urlencoded::to_string([("return", back)]).unwrap_or_default();
            return HttpResponse::SeeOther().insert_header((LOCATION, format!("/-/sign-in?{query}"))).finish();
        }
        let content = html! { div.column.flow { (self.page()) } };
        let mut response = page::respond(self.status_code(), &self.frame, "Error", &content);
        Refused::new(self.reason(), self.to_string()).attach(&mut response);
        response
    }
}

fn no_group(path: &str, username: &str) -> Markup {
    html! {
        h1 { "There is no group " (path) ", or you are not a member of it" }
        p {
            "Look whether its path is spelled right: it is what stands before " code { "/-/dependency_proxy" }
            " in the address."
        }
        p { "If the group exists, one of its owners can add you. Tell them your user name: " (username) "." }
        (your_groups())
    }
}

fn owners_only(path: &str, owners: &[String], username: &str) -> Markup {
    html! {
        h1 { "This page of " (path) " is for its owners" }
        p { "You are signed in as " (username) ", a member of it: you can see its images and pull them." }
        @if owners.is_empty() {
            p { "It has no owner. An administrator can change it, or make you an owner." }
        } @else {
            p { "Its owners can change it, or make you an owner: " b { (owners.join(", ")) } "." }
        }
        p.actions { a.button href=(address::of_group(path)) { "Images of " (path) } a href="/" { "Your groups" } }
    }
}

fn your_groups() -> Markup {
    html! { p.actions { a.button href="/" { "Your groups" } } }
}
