//! `/-/account`: the visitor's own password, personal access tokens and sessions.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use secrecy::SecretString;

use super::address::{self, Why};
use super::fault::Fault;
use super::fields::{Field, FieldKind};
use super::form::Form;
use super::page;
use super::pages::{self, Part};
use super::parts::token_field;
use super::problem::Problem;
use super::see;
use super::session_list;
use super::tokens::{self, Owner, TokensPage};
use super::visitor::{Visitor, cookie, secrets_of};
use crate::domain::session::ListedSession;
use crate::http::api::{ApiError, ApiState, own_password};

const NEW_PASSWORD: &str = "8 to 128 characters. What uses the old one, and every session, ends with the next request";

/// Address of the forms that end sessions.
pub(super) const SESSIONS: &str = "/-/account/sessions";

/// Handles `GET /-/account`.
pub(super) async fn show(request: HttpRequest, visitor: Visitor) -> Result<HttpResponse, Fault> {
    visitor.valid(pages::check(request.query_string()))?;
    let part = Part::of(request.query_string());
    let sessions = session_list::of(&visitor, &visitor.caller.user).await?;
    Ok(page::show(&visitor.frame(), "Your account", &content(&visitor, &part, &sessions, None)))
}

/// Handles `POST /-/account`: changes the password, which ends all sessions of the user, and leads to a new one.
pub(super) async fn change_password(
    request: HttpRequest,
    state: Data<ApiState>,
    form: Form,
) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let Err(error) = changed_password(&request, &form).await else {
        for secret in secrets_of(&request, &state) {
            // They have ended with the old password anyway.
            state.sessions.end(&secret).await.ok();
        }
        let mut response = see(&address::sign_in("/-/account", Some(Why::NewPassword)));
        let _ = response.add_cookie(&cookie(&request, &state, None));
        return Ok(response);
    };
    let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
    let sessions = session_list::of(visitor, &visitor.caller.user).await?;
    let content = content(visitor, &Part::default(), &sessions, Some(&problem));
    let mut response = page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Your account", &content);
    // A wrong password is a guess, which is logged and counted whatever the status is.
    error.refused().attach(&mut response);
    Ok(response)
}

/// Handles `GET /-/account/sessions`, an address to which a new sign-in may redirect: the sessions are on the page of
/// the account.
pub(super) async fn show_sessions(_visitor: Visitor) -> HttpResponse {
    see("/-/account")
}

/// Handles `POST /-/account/sessions`: ends sessions of the visitor, but not the present one.
pub(super) async fn end_sessions(form: Form) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let done = session_list::end(&form, &visitor.caller.user).await?;
    Ok(visitor.done(done, "/-/account").await)
}

/// Handles `GET /-/account/tokens...`.
pub(super) async fn show_tokens(visitor: Visitor, page: web::Path<String>) -> Result<HttpResponse, Fault> {
    let page = TokensPage::parse(&page).ok_or_else(|| visitor.no_such_page())?;
    tokens::show(&visitor, &Owner::Visitor, page, "").await
}

/// Handles `POST /-/account/tokens...`.
pub(super) async fn change_tokens(form: Form, page: web::Path<String>) -> Result<HttpResponse, Fault> {
    let page = TokensPage::parse(&page).ok_or_else(|| form.visitor.no_such_page())?;
    tokens::change(&form, &Owner::Visitor, page).await
}

async fn changed_password(request: &HttpRequest, form: &Form) -> Result<(), ApiError> {
    let caller = &form.visitor.caller;
    let missing = |field| ApiError::Invalid { field, reason: "is missing".to_owned() };
    let typed = |name: &str| form.value(name).filter(|text| !text.is_empty()).map(SecretString::from);
    let current = typed("current_password").ok_or_else(|| missing("current_password"))?;
    let new = typed("password").ok_or_else(|| missing("password"))?;
    let address = caller.state.public_url.client(request);
    own_password::replace(caller, (current, new), address).await.map(drop)
}

fn content(visitor: &Visitor, part: &Part, sessions: &[ListedSession], problem: Option<&Problem>) -> Markup {
    html! {
        h1 { (visitor.username()) }
        @if visitor.caller.user.admin { p.soft { "Administrator" } }
        @if let Some(problem) = problem { (problem.note()) }
        section aria-labelledby="tokens" {
            div.head {
                h2 #tokens { "Personal access tokens" }
                a.button.primary href="/-/account/tokens/new" { "New token" }
            }
            p.soft {
                "They stand for you wherever you are a member. For machines, make a deploy token of a group: it stays "
                "when you leave."
            }
            (tokens::table(visitor, &Owner::Visitor, part, "/-/account"))
        }
        section aria-labelledby="password-title" {
            h2 #password-title { "Password" }
            form.stack method="post" action="/-/account" {
                (token_field(visitor))
                input type="text" name="username" value=(visitor.username()) autocomplete="username" hidden;
                (Field::new("current_password", "Present password").kind(FieldKind::Password).required().show(problem))
                (Field::new("password", "New password").kind(FieldKind::NewPassword).required().hint(NEW_PASSWORD)
                    .show(problem))
                button { "Change the password" }
            }
        }
        section aria-labelledby="sessions" {
            h2 #sessions { "Where you are signed in" }
            p.soft { "If you do not know one of these, end it and change the password." }
            (session_list::table(visitor, sessions, SESSIONS))
        }
    }
}
