//! `/-/sign-in` and `/-/sign-out`: a session starts with the user's name and password, and ends. A wrong password
//! counts as a failed login, as at all other places.

use std::future::{Ready, ready};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev};
use maud::{Markup, html};
use secrecy::SecretString;

use super::address::{SIGN_OUT, Why};
use super::fault::Fault;
use super::fields::{Field, FieldKind};
use super::form::{self, Fields, Form};
use super::icons::icon;
use super::page::{self, Frame};
use super::parts::token_field;
use super::visitor::{Visitor, cookie, secrets_of};
use crate::actors::sessions::SessionError;
use crate::actors::token_issuer::PasswordError;
use crate::domain::id::CredentialId;
use crate::domain::session::StartedFrom;
use crate::http::api::{ApiState, Caller, Needed};
use crate::http::query::query_value;
use crate::http::refusals::{Refused, Subject, WRONG_SECRET};

/// Maximum length of an address that is returned to, in bytes.
const MAX_ADDRESS_BYTES: usize = 2048;

/// Name and password of the form for signing in, which belongs to no session yet.
pub(super) struct Login {
    username: String,
    password: SecretString,
    /// The address to show afterwards.
    back: String,
}

/// Reason why nobody was signed in.
enum Failure {
    /// The form is not from this site, or incomplete.
    Form(String),
    /// The name or the password is wrong, or the user is blocked, which have the same sentence; or there are too many
    /// logins.
    Login(PasswordError),
    /// The session cannot be stored.
    Session(SessionError),
}

/// Handles `GET /-/sign-in`. Redirects a visitor who is signed in already.
pub(super) async fn show(request: HttpRequest, state: Data<ApiState>) -> Result<HttpResponse, Fault> {
    let back = query_value(&request, "return").unwrap_or_default();
    match Visitor::of(&request).await {
        Ok(_) => return Ok(see(&back)),
        Err(fault) if fault.is_signed_out() => {}
        Err(fault) => return Err(fault),
    }
    let why = query_value(&request, "why").and_then(|word| Why::parse(&word));
    Ok(page::show(&frame(&request, &state), "Sign in", &content("", &back, None, why)))
}

/// Handles `POST /-/sign-in`.
pub(super) async fn sign_in(
    request: HttpRequest,
    state: Data<ApiState>,
    login: Result<Login, LoginError>,
) -> HttpResponse {
    let login = match login {
        Ok(login) => login,
        Err(LoginError(sentence)) => return refused(&request, &state, ("", ""), &Failure::Form(sentence)),
    };
    let Login { username, password, back } = login;
    let address = state.public_url.client(&request);
    let verified = state.tokens.identify_by_password(&username, password, address).await;
    let caller = verified.and_then(|credential| {
        let caller = Caller::with(state.clone(), &request, Needed::Password, |all| all.credential(credential));
        caller.map(|caller| (caller, credential)).map_err(|_| PasswordError::Wrong)
    });
    match caller {
        Ok((caller, credential)) => {
            let secret = match start(&request, &caller, credential).await {
                Ok(secret) => secret,
                Err(error) => return refused(&request, &state, (&username, &back), &Failure::Session(error)),
            };
            caller.note_session(("console_signed_in", "signed in to the console"));
            let mut response = see(&back);
            // Fails only for a cookie that cannot be a header, which one of hexadecimal digits can.
            let _ = response.add_cookie(&cookie(&request, &state, Some(secret)));
            response
        }
        Err(error) => {
            let subject = Subject::by_login(&state.identities.directory(), &username, "");
            request.extensions_mut().insert(subject);
            refused(&request, &state, (&username, &back), &Failure::Login(error))
        }
    }
}

/// Starts a session in place of that of the request, which belongs to another user, or is older. Returns the secret for
/// the cookie.
async fn start(request: &HttpRequest, caller: &Caller, credential: CredentialId) -> Result<String, SessionError> {
    let sessions = &caller.state.sessions;
    for before in secrets_of(request, &caller.state) {
        sessions.end(&before).await?;
    }
    let author = caller.author();
    sessions.start(credential, StartedFrom { address: author.address, user_agent: author.user_agent }).await
}

/// Handles `GET /-/sign-out`, to which no page links: people may know the address from other programs.
pub(super) async fn confirm_sign_out(request: HttpRequest) -> Result<HttpResponse, Fault> {
    let visitor = match Visitor::of(&request).await {
        Ok(visitor) => visitor,
        Err(fault) if fault.is_signed_out() => return Ok(super::see("/-/sign-in")),
        Err(fault) => return Err(fault),
    };
    let content = html! {
        div.alone.flow {
            h1 { "Sign out?" }
            form.stack method="post" action=(SIGN_OUT) {
                (token_field(&visitor))
                div.actions { button.primary { "Sign out" } a href="/" { "Your groups" } }
            }
        }
    };
    Ok(page::show(&visitor.frame(), "Sign out", &content))
}

/// Handles `POST /-/sign-out`. Fails if the session may go on.
pub(super) async fn sign_out(request: HttpRequest, state: Data<ApiState>, form: Form) -> Result<HttpResponse, Fault> {
    for secret in secrets_of(&request, &state) {
        state.sessions.end(&secret).await.map_err(|error| form.visitor.fault(error.into()))?;
    }
    form.visitor.caller.note_session(("console_signed_out", "signed out of the console"));
    let mut response = HttpResponse::SeeOther().insert_header((LOCATION, "/-/sign-in")).finish();
    let _ = response.add_cookie(&cookie(&request, &state, None));
    Ok(response)
}

/// Redirects to `back` if it is an address of this site, else to the first page.
fn see(back: &str) -> HttpResponse {
    // Browsers leave out tabs and line breaks, so that what remains could begin with two slashes.
    let is_plain = back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = back.starts_with('/') && !back.starts_with("//") && back.len() <= MAX_ADDRESS_BYTES;
    super::see(if is_plain && is_local { back } else { "/" })
}

fn refused(request: &HttpRequest, state: &ApiState, (username, back): (&str, &str), failure: &Failure) -> HttpResponse {
    let (status, reason) = match failure {
        Failure::Form(_) => (StatusCode::BAD_REQUEST, "wrong_request"),
        Failure::Login(PasswordError::Wrong) => (StatusCode::FORBIDDEN, WRONG_SECRET),
        Failure::Login(PasswordError::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, "too_many_failures"),
        Failure::Login(PasswordError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Failure::Session(SessionError::Unavailable) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
    };
    let sentence = sentence(failure);
    let content = content(username, back, Some(&sentence), None);
    let mut response = page::respond(status, &frame(request, state), "Sign in", &content);
    if let Failure::Login(PasswordError::TooMany(wait)) = failure {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    Refused::new(reason, sentence).attach(&mut response);
    response
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Form(sentence) => sentence.clone(),
        Failure::Login(PasswordError::Wrong) => {
            "No user has this name and this password, or the user is blocked.".to_owned()
        }
        Failure::Login(PasswordError::TooMany(wait)) => {
            format!("There were too many failed logins. The next one is possible in {} s.", wait.as_secs() + 1)
        }
        Failure::Login(PasswordError::Busy) => "Too many people sign in at this moment. Try it again.".to_owned(),
        Failure::Session(error) => format!("{error}."),
    }
}

fn frame(request: &HttpRequest, state: &ApiState) -> Frame {
    Frame::of_nobody(state.public_url.host(request))
}

fn content(username: &str, back: &str, error: Option<&str>, why: Option<Why>) -> Markup {
    html! {
        div.alone.flow {
            h1 { "Sign in" }
            @if let Some(why) = why {
                div.note.warn role="status" { (icon("stale")) div { p { b { (why.sentence()) } } } }
            }
            @if let Some(error) = error {
                div.note.bad role="alert" #wrong { (icon("bad")) div { p { b { (error) } } } }
            }
            form.stack method="post" action="/-/sign-in" {
                input type="hidden" name="return" value=(back);
                (Field::new("username", "User name").kind(FieldKind::Username).required().value(username).show(None))
                (Field::new("password", "Password").kind(FieldKind::Password).required()
                    .wrong(error.map(|_| "wrong")).show(None))
                button.primary { "Sign in" }
            }
            p.hint {
                "Tokens are for machines and do not open this page. If you forgot your password, an administrator can "
                "set a new one."
            }
        }
    }
}

impl Login {
    fn of(request: &HttpRequest) -> Result<Self, LoginError> {
        let host = request.app_data::<Data<ApiState>>().map(|state| state.public_url.host(request)).unwrap_or_default();
        let fields = Fields::read(request).map_err(|sentence| LoginError(sentence.to_owned()))?;
        // A page of another site must not sign a visitor in as somebody else.
        if form::is_of_another_site(request, &host) {
            return Err(LoginError("The form was sent from another site. Sign in here.".to_owned()));
        }
        let required = |name: &str, label: &str| {
            let value = fields.value(name).filter(|value| !value.is_empty()).map(str::to_owned);
            value.ok_or_else(|| LoginError(format!("{label} is missing.")))
        };
        Ok(Self {
            username: required("username", "The user name")?,
            password: required("password", "The password")?.into(),
            back: fields.value("return").unwrap_or_default().to_owned(),
        })
    }
}

/// Reason why a form for signing in cannot be used, as a sentence.
#[derive(Debug)]
pub(super) struct LoginError(String);

impl From<LoginError> for actix_web::Error {
    fn from(LoginError(sentence): LoginError) -> Self {
        actix_web::error::ErrorBadRequest(sentence)
    }
}

impl FromRequest for Login {
    type Error = LoginError;
    type Future = Ready<Result<Self, LoginError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::of(request))
    }
}
