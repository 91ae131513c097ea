//! Forms about users: a new one, a block, a deletion, the end of sessions.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};
use secrecy::SecretString;

use crate::domain::commands::user::{NewUser, owned_by_nobody_else};
use crate::domain::email::EmailError;
use crate::domain::group::Group;
use crate::domain::id::UserId;
use crate::domain::token::TokenOwner;
use crate::domain::user::User;
use crate::http::api::losses::{self, Lost};
use crate::http::api::{ApiError, Faults, user_changes as edit};
use crate::http::ui::address::{self, ADMIN};
use crate::http::ui::fault::{Fault, Kind};
use crate::http::ui::fields::{Choice, Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::formatting::number_of;
use crate::http::ui::losses as shown;
use crate::http::ui::page;
use crate::http::ui::parts::{admin_tabs, token_field, typed_form};
use crate::http::ui::problem::Problem;
use crate::http::ui::session_list;
use crate::http::ui::visitor::Visitor;

/// The fields of the form for a new user, as they were typed, without the password.
#[derive(Default)]
struct Typed {
    username: String,
    name: String,
    email: String,
    admin: bool,
}

const NOT_BLOCKED: &str = "Administrators cannot block themselves: another administrator can";
const NOT_DELETED: &str = "Administrators cannot delete themselves: another administrator can";
const USERNAME: &str = "Letters, digits, and “_”, “.” or “-”. The case of letters does not matter";

/// Shows the form for a new user.
pub(super) fn new(visitor: &Visitor) -> HttpResponse {
    page::show(&visitor.frame(), "New user", &form_of_new(visitor, &Typed::default(), None))
}

/// Creates a user.
pub(super) async fn create(form: &Form) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
    let admin = form.value("admin").map(|_| form.choice("admin", &["yes"])).transpose();
    let is_admin = admin.as_ref().is_ok_and(Option::is_some);
    let typed = Typed { username: text("username"), name: text("name"), email: text("email"), admin: is_admin };
    match typed.create(visitor, admin.map(drop), form.value("password")).await {
        Ok(user) => Ok(visitor.done("The user was created.", &format!("{ADMIN}/users?q={}", user.username)).await),
        Err(error) => {
            let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
            let content = form_of_new(visitor, &typed, Some(&problem));
            Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "New user", &content))
        }
    }
}

impl Typed {
    async fn create(
        &self,
        visitor: &Visitor,
        admin: Result<(), ApiError>,
        password: Option<&str>,
    ) -> Result<User, ApiError> {
        let invalid = |field, reason: String| ApiError::Invalid { field, reason };
        let mut faults = Faults::default();
        let username = self.username.parse().map_err(|error| invalid("username", format!("{error}")));
        let username = faults.take(username);
        let email = Some(self.email.as_str()).filter(|email| !email.is_empty()).map(str::parse).transpose();
        let email = faults.take(email.map_err(|error: EmailError| invalid("email", error.to_string())));
        let password = match password.filter(|password| !password.is_empty()).map(SecretString::from) {
            Some(password) => edit::hashed(&visitor.caller, Some(password)).await,
            None => Err(invalid("password", "is missing".to_owned())),
        };
        let (password, admin) = (faults.take(password), faults.take(admin));
        let (Some(username), Some(email), Some(password), Some(())) = (username, email, password, admin) else {
            return Err(faults.into());
        };
        let name = if self.name.is_empty() { self.username.clone() } else { self.name.clone() };
        edit::create(&visitor.caller, NewUser { username, name, email, admin: self.admin, password }).await
    }
}

fn form_of_new(visitor: &Visitor, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        h1 { "New user" }
        (admin_tabs(visitor, "/users"))
        @if let Some(problem) = problem { (problem.note()) }
        form.stack method="post" action={ (ADMIN) "/users/new" } {
            (typed_form(visitor))
            (Field::new("username", "User name").kind(FieldKind::Identifier).required().value(&typed.username)
                .hint(USERNAME)
                .show(problem))
            (Field::new("name", "Full name").hint("Empty: the user name").value(&typed.name).show(problem))
            (Field::new("email", "Email address").kind(FieldKind::Email).value(&typed.email)
                .hint("For people who read the list. Nothing is sent to it").show(problem))
            (Field::new("password", "Password").kind(FieldKind::NewPassword).required()
                .hint("8 to 128 characters. The user can change it under the own name").show(problem))
            (Choice::checkbox("admin", ("admin", "yes"), "Administrator").chosen(typed.admin)
                .show("May do everything: pull from every group, and change all groups and users"))
            div.actions { button.primary { "Create the user" } a href={ (ADMIN) "/users" } { "Cancel" } }
        }
    }
}

/// Shows what a block does.
pub(super) fn confirm_block(visitor: &Visitor, id: UserId) -> Result<HttpResponse, Fault> {
    let user = another(visitor, id, NOT_BLOCKED)?;
    let name = user.username.as_str();
    let facts = html! {
        dt { "At once" }
        dd {
            (name) " is signed out, and " (tokens_of(visitor, &user))
            " with the password are refused with the next request."
        }
        dt { "Stays" } dd { "Memberships and tokens. Unblocking makes them valid again." }
    };
    Ok(confirm(visitor, &format!("Block {name}?"), &facts, (&format!("{ADMIN}/users/{}/block", id.0), "Block", name)))
}

/// Shows what goes with a user.
pub(super) fn confirm_deletion(visitor: &Visitor, id: UserId) -> Result<HttpResponse, Fault> {
    deletion(visitor, id, StatusCode::OK, None)
}

fn deletion(
    visitor: &Visitor,
    id: UserId,
    status: StatusCode,
    problem: Option<&Problem>,
) -> Result<HttpResponse, Fault> {
    let user = another(visitor, id, NOT_DELETED)?;
    let (name, authority) = (user.username.as_str(), visitor.authority());
    let lost = losses::of_deletion(&authority, id, true).map_err(|error| visitor.refused(&error.into()))?;
    let owned: Vec<&Arc<Group>> = owned_by_nobody_else(authority.directory, id, authority.now)
        .filter_map(|group| authority.directory.group(group))
        .collect();
    let content = html! {
        h1 { "Delete " (name) "?" }
        @if let Some(problem) = problem { (problem.note()) }
        section aria-labelledby="goes" {
            h2.unseen #goes { "What goes" }
            dl.facts {
                dt { "Goes" } dd { "The user " (name) @if !lost.is_empty() { ", and with the user:" } }
                (shown::facts(&lost))
                dt { "Stays" } dd { "Groups, tokens that are not named here, and what is cached" }
                dt { "Then" }
                dd { "It cannot be undone. To end what the user may do, and keep that open, block the user." }
            }
            @if lost.tokens.total > 0 {
                p.hint {
                    "A token ends with the one that it was made with, so tokens of groups and of other users can be "
                    "among these."
                }
            }
            @if owned.is_empty() { (deletion_form(visitor, &user, &lost)) } @else { (owners_needed(&user, &owned)) }
        }
    };
    Ok(page::respond(status, &visitor.frame(), &format!("Delete {name}?"), &content))
}

fn deletion_form(visitor: &Visitor, user: &User, lost: &Lost) -> Markup {
    html! {
        form method="post" action={ (ADMIN) "/users/" (user.id.0) "/delete" } {
            (token_field(visitor))
            (shown::field(lost))
            div.actions {
                button.danger { "Delete " (user.username) @if !lost.is_empty() { " and all that is named here" } }
                a href={ (ADMIN) "/users" } { "Keep " (user.username) }
            }
        }
    }
}

fn owners_needed(user: &User, groups: &[&Arc<Group>]) -> Markup {
    html! {
        p {
            b { (user.username) " cannot be deleted yet: these groups have no other owner." }
            " Make somebody else an owner of each first."
        }
        ul {
            @for group in groups {
                li { a href={ (address::of_group(group.path.as_str())) "/members" } { (group.path) } }
            }
        }
        p.actions { a.button href={ (ADMIN) "/users" } { "Users" } }
    }
}

/// Shows where a user is signed in.
pub(super) async fn sessions(visitor: &Visitor, id: UserId) -> Result<HttpResponse, Fault> {
    let user = find(visitor, id)?;
    let (name, sessions) = (user.username.as_str(), session_list::of(visitor, &user).await?);
    let content = html! {
        h1 { "Where " (name) " is signed in" }
        (admin_tabs(visitor, "/users"))
        section aria-labelledby="list" {
            h2.unseen #list { "Sessions" }
            @if sessions.is_empty() {
                p { (name) " is not signed in anywhere." }
            } @else {
                (session_list::table(visitor, &sessions, &sessions_address(id)))
            }
            p.hint {
                "Who knows the password can sign in again. To keep the user out, "
                a href={ (ADMIN) "/users/" (id.0) "/block" } { "block " (name) } "."
            }
        }
    };
    Ok(page::show(&visitor.frame(), &format!("Sessions of {name}"), &content))
}

/// Ends sessions of a user.
pub(super) async fn end_sessions(form: &Form, id: UserId) -> Result<HttpResponse, Fault> {
    let user = find(&form.visitor, id)?;
    let done = session_list::end(form, &user).await?;
    Ok(form.visitor.done(done, &sessions_address(id)).await)
}

fn sessions_address(id: UserId) -> String {
    format!("{ADMIN}/users/{}/sessions", id.0)
}

/// Blocks a user.
pub(super) async fn block(form: &Form, id: UserId) -> Result<HttpResponse, Fault> {
    another(&form.visitor, id, NOT_BLOCKED)?;
    ended(form, "The user was blocked.", edit::block(&form.visitor.caller, id).await).await
}

/// Ends the block of a user.
pub(super) async fn unblock(form: &Form, id: UserId) -> Result<HttpResponse, Fault> {
    ended(form, "The user was unblocked.", edit::unblock(&form.visitor.caller, id).await).await
}

/// Deletes a user, if what goes with the user was confirmed. The only owner of a group is not deleted: an administrator
/// makes another owner before.
pub(super) async fn delete(form: &Form, id: UserId) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let mark = form.value(shown::FIELD).unwrap_or_default().to_owned();
    another(visitor, id, NOT_DELETED)?;
    let deleted = edit::delete_confirmed(&visitor.caller, id, mark).await;
    match deleted.as_ref().err().and_then(Problem::of) {
        Some(problem) => deletion(visitor, id, StatusCode::CONFLICT, Some(&problem)),
        None => ended(form, "The user was deleted.", deleted).await,
    }
}

async fn ended(form: &Form, done: &str, changed: Result<(), ApiError>) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    changed.map_err(|error| visitor.refused(&error))?;
    Ok(visitor.done(done, &format!("{ADMIN}/users")).await)
}

/// Returns this user, who is not the visitor; else the sentence is that of the refusal.
fn another(visitor: &Visitor, id: UserId, refusal: &'static str) -> Result<Arc<User>, Fault> {
    if id == visitor.caller.user.id {
        return Err(visitor.refused(&ApiError::Refused(refusal)));
    }
    find(visitor, id)
}

fn find(visitor: &Visitor, id: UserId) -> Result<Arc<User>, Fault> {
    let person = visitor.caller.directory.user(id).filter(|user| user.bot_of.is_none()).cloned();
    person.ok_or_else(|| visitor.fault(Kind::NoPage))
}

fn tokens_of(visitor: &Visitor, user: &User) -> String {
    let is_of = |owner: &TokenOwner| matches!(owner, TokenOwner::Personal { user: owner } if *owner == user.id);
    let count = visitor.caller.directory.tokens().filter(|token| is_of(&token.owner)).count();
    number_of(count as u64, "personal token")
}

fn confirm(visitor: &Visitor, title: &str, facts: &Markup, (action, verb, name): (&str, &str, &str)) -> HttpResponse {
    let content = html! {
        h1 { (title) }
        section aria-labelledby="then" {
            h2.unseen #then { "What happens" }
            dl.facts { (facts) }
            form method="post" action=(action) {
                (token_field(visitor))
                div.actions { button.danger { (verb) " " (name) } a href={ (ADMIN) "/users" } { "Keep " (name) } }
            }
        }
    };
    page::show(&visitor.frame(), title, &content)
}
