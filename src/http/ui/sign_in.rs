//! `/-/sign-in` and `/-/sign-out`: a session starts with the user's name and password, and ends. A wrong password
//! counts as a failed login, as at all other places.

use std::future::{Ready, ready};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev};
use maud::html;
use secrecy::SecretString;

use super::address::{SIGN_OUT, Why};
use super::fault::Fault;
use super::form::{Fields, Form, Sender};
use super::kept_form::{KeptForm, is_local};
use super::page::{self, Frame, SignedIn};
use super::parts::token_field;
use super::sign_in_form::SignInForm;
use super::visitor::{Visitor, cookie, secrets_of};
use crate::actors::sessions::SessionError;
use crate::actors::token_issuer::PasswordError;
use crate::auth::form_token;
use crate::domain::id::CredentialId;
use crate::domain::session::StartedFrom;
use crate::http::api::{ApiState, Caller, Needed};
use crate::http::query::query_value;
use crate::http::refusals::{Reason, Refused, Subject};

/// Name and password of the form for signing in, which belongs to no session yet.
pub(super) struct Login {
    username: String,
    password: SecretString,
    next: Next,
}

/// The page or form that follows after signing in.
#[derive(Debug, Default)]
struct Next {
    /// The address to show.
    back: String,
    /// The form that opens again before.
    kept: Option<KeptForm>,
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
    let form = SignInForm { back: &back, why, ..SignInForm::default() };
    Ok(page::show(&frame(&request, &state), "Sign in", &form.show()))
}

/// Handles `POST /-/sign-in`.
pub(super) async fn sign_in(
    request: HttpRequest,
    state: Data<ApiState>,
    login: Result<Login, LoginError>,
) -> HttpResponse {
    let login = match login {
        Ok(login) => login,
        Err(LoginError { sentence, next }) => return refused(&request, &state, ("", &next), &Failure::Form(sentence)),
    };
    let Login { username, password, next } = login;
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
                Err(error) => return refused(&request, &state, (&username, &next), &Failure::Session(error)),
            };
            caller.note_session(("console_signed_in", "signed in to the console"));
            let mut response = match &next.kept {
                Some(kept) => reopen(&request, &caller, kept, (&secret, &next.back)),
                None => see(&next.back),
            };
            // Fails only for a cookie that cannot be a header, which one of hexadecimal digits can.
            let _ = response.add_cookie(&cookie(&request, &state, Some(secret)));
            response
        }
        Err(error) => {
            let subject = Subject::by_login(&state.identities.directory(), &username, "");
            request.extensions_mut().insert(subject);
            refused(&request, &state, (&username, &next), &Failure::Login(error))
        }
    }
}

/// Returns the page that opens a form again, for a caller whose new session has this secret.
fn reopen(request: &HttpRequest, caller: &Caller, kept: &KeptForm, (secret, back): (&str, &str)) -> HttpResponse {
    let form_secret = form_token::secret_of(secret);
    let token = || form_token::issue(&form_secret);
    let (username, admin) = (caller.user.username.to_string(), caller.user.admin);
    let user = SignedIn { username, admin, form_token: token(), present: None };
    let frame = Frame { user: Some(user), ..frame(request, &caller.state) };
    page::show(&frame, "Open the form again", &kept.reopen(&token(), local(back)))
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
    super::see(local(back))
}

fn local(back: &str) -> &str {
    if is_local(back) { back } else { "/" }
}

fn refused(
    request: &HttpRequest,
    state: &ApiState,
    (username, next): (&str, &Next),
    failure: &Failure,
) -> HttpResponse {
    let (status, reason) = match failure {
        Failure::Form(_) => (StatusCode::BAD_REQUEST, Reason::WrongRequest),
        Failure::Login(PasswordError::Wrong) => (StatusCode::FORBIDDEN, Reason::WrongSecret),
        Failure::Login(PasswordError::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, Reason::TooManyFailures),
        Failure::Login(PasswordError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, Reason::Busy),
        Failure::Session(SessionError::Unavailable) => (StatusCode::SERVICE_UNAVAILABLE, Reason::Store),
    };
    let sentence = sentence(failure);
    let (back, kept) = (next.back.as_str(), next.kept.as_ref());
    let form = SignInForm { username, back, kept, error: Some(&sentence), why: None };
    let mut response = page::respond(status, &frame(request, state), "Sign in", &form.show());
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

impl Login {
    fn of(request: &HttpRequest) -> Result<Self, LoginError> {
        let host = request.app_data::<Data<ApiState>>().map(|state| state.public_url.host(request)).unwrap_or_default();
        let invalid = |sentence: String, next| LoginError { sentence, next };
        let fields = Fields::read(request).map_err(|sentence| invalid(sentence.to_owned(), Next::default()))?;
        // A page of another site must not sign a visitor in as somebody else.
        if Sender::of(request, &host) == Sender::Other {
            return Err(invalid("The form was sent from another site. Sign in here.".to_owned(), Next::default()));
        }
        let back = fields.value("return").unwrap_or_default().to_owned();
        let next = Next { back, kept: KeptForm::carried(|name| fields.value(name)) };
        let typed = |name: &str| fields.value(name).filter(|value| !value.is_empty()).map(str::to_owned);
        match (typed("username"), typed("password")) {
            (Some(username), Some(password)) => Ok(Self { username, password: password.into(), next }),
            (None, _) => Err(invalid("The user name is missing.".to_owned(), next)),
            (Some(_), None) => Err(invalid("The password is missing.".to_owned(), next)),
        }
    }
}

/// Reason why a form for signing in cannot be used.
#[derive(Debug)]
pub(super) struct LoginError {
    sentence: String,
    next: Next,
}

impl From<LoginError> for actix_web::Error {
    fn from(error: LoginError) -> Self {
        actix_web::error::ErrorBadRequest(error.sentence)
    }
}

impl FromRequest for Login {
    type Error = LoginError;
    type Future = Ready<Result<Self, LoginError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::of(request))
    }
}
