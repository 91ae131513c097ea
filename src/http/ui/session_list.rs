//! The sessions of a user: the browsers in which somebody is signed in, on the user's own page and, for administrators,
//! on a separate one. Each can be ended, and all others together.

use std::time::Duration;

use jiff::SignedDuration;
use maud::{Markup, html};

use super::fault::{Fault, Kind};
use super::form::Form;
use super::formatting::{minute, time};
use super::parts::token_field;
use super::table::{self, Column};
use super::user_agent;
use super::visitor::Visitor;
use crate::actors::sessions::SessionError;
use crate::domain::session::ListedSession;
use crate::domain::user::User;

/// Value of the field that ends all sessions but the one of the form.
const OTHERS: &str = "others";

/// Returns the sessions of a user; the one used last comes first.
///
/// # Errors
///
/// Fails if they cannot be read.
pub(super) async fn of(visitor: &Visitor, user: &User) -> Result<Vec<ListedSession>, Fault> {
    let Some(password) = &user.password else { return Ok(Vec::new()) };
    let listed = visitor.caller.state.sessions.of(password.credential).await;
    listed.map_err(|error| not_known(visitor, error))
}

/// Shows the sessions of a user, with forms that end them at this address.
pub(super) fn table(visitor: &Visitor, sessions: &[ListedSession], action: &str) -> Markup {
    html! {
        (table::show("Sessions", &[
            Column::main("Browser"),
            Column::new("Address"),
            Column::new("Since, UTC"),
            Column::new("Last seen").sorted(Some("descending")),
            Column::new("Actions").unseen(),
        ], html! { @for session in sessions { (row(visitor, session, action)) } }))
        @if sessions.iter().filter(|session| !visitor.is_of(session)).count() > 1 {
            form method="post" action=(action) {
                (token_field(visitor))
                button.minor name="session" value=(OTHERS) {
                    @if sessions.iter().any(|session| visitor.is_of(session)) { "End all others" } @else { "End all" }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, session: &ListedSession, action: &str) -> Markup {
    let now = visitor.caller.now;
    let before = |age: Duration| now - SignedDuration::try_from(age).unwrap_or_default();
    let browser = user_agent::words(session.from.user_agent.as_deref());
    let is_this = visitor.is_of(session);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { (browser) @if is_this { " " span.badge { "This session" } } }
            td role="cell" data-label="Address" {
                @match session.from.address { Some(address) => (address), None => "unknown" }
            }
            td.two role="cell" data-label="Since" { (minute(before(session.age))) }
            td role="cell" data-label="Last seen" { @if is_this { "now" } @else { (time(before(session.idle), now)) } }
            td.row-actions role="cell" {
                @if !is_this {
                    form method="post" action=(action) {
                        (token_field(visitor))
                        button.minor name="session" value=(session.id) aria-label={ "End the session of " (browser) } {
                            "End"
                        }
                    }
                }
            }
        }
    }
}

/// Ends the session of this user that the form names, or all others. Returns what was done, as a sentence.
///
/// # Errors
///
/// Fails if the form names none, or if they cannot be read or ended.
pub(super) async fn end(form: &Form, user: &User) -> Result<&'static str, Fault> {
    let visitor = &form.visitor;
    let wanted = form.value("session").unwrap_or_default();
    let mut ended = 0;
    for session in of(visitor, user).await?.iter().filter(|session| !visitor.is_of(session)) {
        if wanted == OTHERS || wanted == session.id {
            let ended_now = visitor.caller.state.sessions.end_listed(session).await;
            ended_now.map_err(|error| not_known(visitor, error))?;
            ended += 1;
        }
    }
    if ended == 0 && wanted != OTHERS {
        return Err(visitor.fault(Kind::Invalid("That session is over already.".to_owned())));
    }
    if ended > 0 {
        visitor.caller.note_session_of(user, ("console_session_ended", "ended sessions of the console"));
    }
    Ok(if wanted == OTHERS { "All these sessions have ended." } else { "That session has ended." })
}

fn not_known(visitor: &Visitor, error: SessionError) -> Fault {
    visitor.fault(error.into())
}
