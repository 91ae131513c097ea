//! Revocation of one token: the page that says what follows from it, and its effect.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::Owner;
use crate::domain::commands::token as edit;
use crate::domain::id::TokenId;
use crate::domain::token::Token;
use crate::http::api::losses::{confirmed, of_revoked, with_token};
use crate::http::api::{self, Authority};
use crate::http::ui::fault::Fault;
use crate::http::ui::form::Form;
use crate::http::ui::formatting::time;
use crate::http::ui::losses;
use crate::http::ui::page;
use crate::http::ui::parts::token_field;
use crate::http::ui::problem::Problem;
use crate::http::ui::visitor::Visitor;

/// Shows what follows from the revocation of a token.
pub(super) fn show(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    page_of(visitor, owner, id, StatusCode::OK, None)
}

/// Revokes a token, if what ends with it was confirmed, and leads to the list.
pub(super) async fn revoke(form: &Form, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    owner.token(visitor, id)?;
    let (of, mark) = (owner.clone(), form.value(losses::FIELD).unwrap_or_default().to_owned());
    let may = visitor.caller.may(move |caller| of.find(caller, id)).map_err(|error| visitor.refused(&error))?;
    let revoke = move |caller: &Authority<'_>, token: Arc<Token>| {
        let change = edit::revoke(caller.directory, token.id, caller.now);
        confirmed(&mark, change, |writes| with_token(caller, writes, token.id))
    };
    match visitor.caller.change("token revoked", may, revoke).await {
        Ok(()) => Ok(visitor.done("The token was revoked.", &owner.address()).await),
        Err(error) => {
            let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
            page_of(visitor, owner, id, StatusCode::CONFLICT, Some(&problem))
        }
    }
}

fn page_of(
    visitor: &Visitor,
    owner: &Owner,
    id: TokenId,
    status: StatusCode,
    problem: Option<&Problem>,
) -> Result<HttpResponse, Fault> {
    let token = owner.token(visitor, id)?;
    let lost = of_revoked(&visitor.authority(), id).map_err(|error| visitor.refused(&error.into()))?;
    let content = html! {
        (owner.crumbs(visitor, &format!("Revoke {}", token.name)))
        h1 { "Revoke the token " (token.name) "?" }
        @if let Some(problem) = problem { (problem.note()) }
        section aria-labelledby="then" {
            h2.unseen #then { "What happens" }
            (facts(visitor, owner, &token))
            @if !lost.is_empty() {
                h3 { "These end with it" }
                p.soft { "They were made with this token. They cannot be brought back, either." }
                dl.facts { (losses::facts(&lost)) }
            }
            form method="post" action={ (owner.address()) "/" (token.id.0) "/revoke" } {
                (token_field(visitor))
                (losses::field(&lost))
                div.actions {
                    button.danger { "Revoke " (token.name) @if !lost.is_empty() { " and what was made with it" } }
                    a href=(owner.address()) { "Keep it" }
                }
            }
        }
    };
    Ok(page::respond(status, &visitor.frame(), "Revoke a token", &content))
}

fn facts(visitor: &Visitor, owner: &Owner, token: &Token) -> Markup {
    html! {
        dl.facts {
            dt { "Last used" }
            dd {
                @match api::last_use(&visitor.caller, token) {
                    Some(at) => (time(at, visitor.caller.now)), None => "never"
                }
            }
            dt { "At once" } dd { "The very next request with it fails, also in the middle of a pull." }
            dt { "For ever" }
            dd {
                "A token that was revoked cannot be brought back. To change only its secret, "
                a href={ (owner.address()) "/" (token.id.0) "/rotate" } { "rotate it" } "."
            }
        }
    }
}
