//! Failures of the console, as pages that state what is wrong and what to do, with their status codes. A page that
//! shows its form again, the sign-in and the limits choose the status code themselves.

mod content;

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::Uri;
use actix_web::http::header::{ALLOW, HOST, HeaderName, HeaderValue, REFERER, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::html;

use self::content::content;
use super::address::{self, Why};
use super::formatting::first_upper;
use super::kept_form::KeptForm;
use super::page::{self, Frame};
use super::see;
use super::sign_in_form::SignInForm;
use crate::actors::policy_evaluator::{ChangeError, FleetError};
use crate::actors::sessions::SessionError;
use crate::http::api::{ApiError, ApiState};
use crate::http::refusals::{Reason, Refused};

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
    /// There is no session.
    SignedOut {
        /// The address to return to after signing in.
        back: String,
        /// True if a form was sent, which was not carried out.
        form: bool,
        /// The values that were typed into the form, if they can be kept.
        kept: Option<KeptForm>,
    },
    /// There is no such group, or the user is no member of it.
    NoGroup { path: String, username: String },
    /// The page is for the owners of a group, and the user is a member.
    OwnersOnly { path: String, owners: Vec<String>, username: String },
    /// The page is for administrators.
    AdministratorsOnly { username: String },
    /// The group has no such image. The fields are the path of the group and the name of the image.
    NoImage { path: String, image: String },
    /// There is no such token, or it no longer exists. The field is the address of the list.
    NoToken { list: String },
    /// There is no page with this address.
    NoPage,
    /// The page does not have the method of the request. The field names those that it has.
    WrongMethod(&'static str),
    /// A form does not come from a page of this session.
    Forged,
    /// The form is from a page of another session of this browser.
    Outdated {
        /// The values that were typed into it.
        kept: KeptForm,
        /// A token of the present session, with which it opens again.
        token: String,
        /// The address of its page.
        back: String,
    },
    /// A form cannot be used. The field is the reason, as a sentence.
    Invalid(String),
    /// The query of an address cannot be used. The field is the reason, as a sentence.
    InvalidAddress(String),
    /// A rule or a failure prevents it, which the sentence names.
    Refused {
        status: StatusCode,
        reason: Reason,
        heading: &'static str,
        sentence: String,
        /// The time in seconds after which it may be possible.
        wait: Option<u64>,
        /// Details for the operator.
        details: Option<String>,
    },
}

/// Heading of a failure that goes by.
pub(super) const NOT_NOW: &str = "This is not possible now";

impl Fault {
    /// Creates a fault.
    pub(super) fn new(kind: Kind, frame: Frame) -> Self {
        Self { kind: Box::new(kind), frame: Box::new(frame) }
    }

    /// Returns the fault of a request without a session: it leads to the page for signing in, and back; from there to
    /// the page of the form, if one was sent.
    pub(super) fn signed_out(request: &HttpRequest) -> Self {
        let kind = match (request.method().is_safe(), request.path()) {
            (true, _) => Kind::SignedOut { back: request.uri().to_string(), form: false, kept: None },
            (false, address::SIGN_OUT) => Kind::SignedOut { back: "/".to_owned(), form: false, kept: None },
            (false, _) => Kind::SignedOut { back: page_of_form(request), form: true, kept: None },
        };
        let state = request.app_data::<Data<ApiState>>();
        let host = state.map(|state| state.public_url.host(request)).unwrap_or_default();
        Self::new(kind, Frame::of_nobody(host))
    }

    /// Has the page for signing in carry what was typed into the form of this request, if it has no session.
    pub(super) fn keeping(mut self, form: Option<KeptForm>) -> Self {
        if let Kind::SignedOut { kept, .. } = &mut *self.kind {
            *kept = form;
        }
        self
    }

    /// Returns true if the request has no session; false if that is not known.
    pub(super) fn is_signed_out(&self) -> bool {
        matches!(*self.kind, Kind::SignedOut { .. })
    }

    fn reason(&self) -> Reason {
        match &*self.kind {
            Kind::SignedOut { .. } => Reason::Unauthorized,
            Kind::NoGroup { .. } | Kind::NoImage { .. } | Kind::NoToken { .. } => Reason::NotFound,
            Kind::OwnersOnly { .. } | Kind::AdministratorsOnly { .. } => Reason::NoAccess,
            Kind::NoPage => Reason::NoRoute,
            Kind::WrongMethod(_) => Reason::WrongMethod,
            Kind::Forged | Kind::Outdated { .. } | Kind::Invalid(_) | Kind::InvalidAddress(_) => Reason::WrongRequest,
            Kind::Refused { reason, .. } => *reason,
        }
    }
}

impl Kind {
    /// Returns the kind of fault for a store that does not respond: the request can be repeated a second later.
    pub(super) fn of_store(sentence: String) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::Refused { status, reason: Reason::Store, heading: NOT_NOW, sentence, wait: Some(1), details: None }
    }

    /// Returns the kind of fault for what the API would refuse in this way.
    pub(super) fn of(error: &ApiError) -> Self {
        let (status, text) = (error.status_code(), error.to_string());
        if status == StatusCode::UNAUTHORIZED {
            return Self::SignedOut { back: "/".to_owned(), form: true, kept: None };
        }
        let (reason, wait, details) = (error.reason(), error.wait(), error.refused().details);
        if let ApiError::Cache(_) = error {
            let sentence =
                "The index of the cache cannot be read or changed. A restart of the service rebuilds it.".to_owned();
            return Self::Refused { status, reason, heading: NOT_NOW, sentence, wait: None, details };
        }
        let heading = if let ApiError::Failed(ChangeError::Fleet(FleetError::Unconfirmed)) = error {
            "This is stored, but not confirmed"
        } else if let ApiError::Failed(ChangeError::Fleet(FleetError::Unknown)) = error {
            "Nobody knows whether this is stored"
        } else if wait.is_some() || status.is_server_error() {
            NOT_NOW
        } else {
            "This is not possible"
        };
        let sentence = text.split_once(" - ").map_or(text.as_str(), |(_, sentence)| sentence);
        let end = if sentence.ends_with('.') { "" } else { "." };
        Self::Refused { status, reason, heading, sentence: format!("{}{end}", first_upper(sentence)), wait, details }
    }
}

impl From<SessionError> for Kind {
    fn from(error: SessionError) -> Self {
        Self::of_store(format!("{error}."))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.kind {
            Kind::SignedOut { .. } => "not signed in",
            Kind::NoGroup { .. } => "no such group, or no member of it",
            Kind::OwnersOnly { .. } => "no owner of the group",
            Kind::AdministratorsOnly { .. } => "no administrator",
            Kind::NoImage { .. } => "no such image",
            Kind::NoToken { .. } => "no such token",
            Kind::NoPage => "no such page",
            Kind::WrongMethod(_) => "the page does not have this method",
            Kind::Forged | Kind::Outdated { .. } => "the form is not from a page of this session",
            Kind::Invalid(sentence) | Kind::InvalidAddress(sentence) | Kind::Refused { sentence, .. } => sentence,
        })
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        match &*self.kind {
            // The form for signing in again comes with what was typed.
            Kind::SignedOut { kept: Some(_), .. } => StatusCode::FORBIDDEN,
            Kind::SignedOut { kept: None, .. } => StatusCode::SEE_OTHER,
            Kind::NoGroup { .. } | Kind::NoImage { .. } | Kind::NoToken { .. } | Kind::NoPage => StatusCode::NOT_FOUND,
            Kind::OwnersOnly { .. } | Kind::AdministratorsOnly { .. } | Kind::Forged | Kind::Outdated { .. } => {
                StatusCode::FORBIDDEN
            }
            Kind::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Invalid(_) | Kind::InvalidAddress(_) => StatusCode::BAD_REQUEST,
            Kind::Refused { status, .. } => *status,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (title, content) = if let Kind::SignedOut { back, form, kept } = &*self.kind {
            let Some(kept) = kept else {
                return see(&address::sign_in(back, form.then_some(Why::FormNotSaved)));
            };
            let form = SignInForm { back, why: Some(Why::FormKept), kept: Some(kept), ..SignInForm::default() };
            ("Sign in", form.show())
        } else {
            ("Error", html! { div.column.flow { (content(&self.kind)) } })
        };
        let mut response = page::respond(self.status_code(), &self.frame, title, &content);
        if let Kind::WrongMethod(methods) = *self.kind {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Kind::Refused { wait: Some(wait), .. } = &*self.kind {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*wait));
        }
        let mut refused = Refused::new(self.reason(), self.to_string());
        if let Kind::Refused { details, .. } = &*self.kind {
            refused.details.clone_from(details);
        }
        refused.attach(&mut response);
        response
    }
}

/// Returns the address of the page with the form that was sent: the one that the browser names, if it is of this host
/// (RFC 9110, section 10.1.3), or else the one to which the form was sent, which shows it in most cases.
pub(super) fn page_of_form(request: &HttpRequest) -> String {
    let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let page = header(&REFERER).and_then(|page| page.parse::<Uri>().ok());
    let of_this_host = page.filter(|page| page.authority().map(|host| host.as_str()) == header(&HOST));
    let address = of_this_host.as_ref().and_then(|page| page.path_and_query()).map(ToString::to_string);
    address.unwrap_or_else(|| request.path().to_owned())
}
