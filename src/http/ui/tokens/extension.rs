//! Change of the end of one token: the form, its confirmation if others end with it, and its effect.

use std::sync::Arc;

use actix_web::HttpResponse;
use jiff::Timestamp;
use maud::{Markup, html};

use super::Owner;
use crate::domain::commands::loss::Loss;
use crate::domain::commands::rotation;
use crate::domain::commands::seen::SeenValue;
use crate::domain::day::DayError;
use crate::domain::id::TokenId;
use crate::domain::token::Token;
use crate::http::api::losses::{Lost, confirmed, of_new_end};
use crate::http::api::{ApiError, Authority};
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::formatting::{day_text, parsed_day};
use crate::http::ui::losses;
use crate::http::ui::page;
use crate::http::ui::parts::{token_field, typed_form};
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// Shows the form that changes the end of a token.
pub(super) fn show(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let token = owner.token(visitor, id)?;
    let end = token.expires_at.map(day_text).unwrap_or_default();
    Ok(page::show(&visitor.frame(), "End of a token", &form_of(visitor, owner, &token, &end, None)))
}

/// Changes the end of a token, and leads to the list. If others end earlier with it, that is confirmed first.
pub(super) async fn extend(form: &Form, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let token = owner.token(visitor, id)?;
    // An empty field means no end, one that is missing does not.
    let typed = form.present("expires_at").map_err(|error| visitor.refused(&error))?;
    let error = match wanted_end(visitor, &token, typed) {
        Ok((_, lost)) if form.value(losses::FIELD).unwrap_or_default() != lost.mark => {
            // What the first page showed, also if the token has changed since.
            let shown = form.value(seen::FIELD).unwrap_or_default();
            let content = confirmation(visitor, owner, &token, (typed, shown), &lost);
            return Ok(page::show(&visitor.frame(), "End of a token", &content));
        }
        Ok((end, lost)) => match change_end(form, owner, id, end, lost.mark.clone()).await {
            Ok(()) => return Ok(visitor.done(&end_changed(&lost), &owner.address()).await),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
    // As it is now: somebody else may have changed it since the head of the request arrived.
    let present = visitor.caller.state.identities.directory().token(id).cloned().unwrap_or(token);
    let content = form_of(visitor, owner, &present, typed, Some(&problem));
    Ok(page::respond(problem.status(), &visitor.frame(), "End of a token", &content))
}

/// Returns the end that was typed, and what ends earlier with it.
fn wanted_end(visitor: &Visitor, token: &Token, typed: &str) -> Result<(Option<Timestamp>, Lost), ApiError> {
    let invalid = |error: DayError| ApiError::Invalid { field: "expires_at", reason: error.to_string() };
    let end = parsed_day(typed).map_err(invalid)?;
    Ok((end, of_new_end(&visitor.authority(), token.id, end)?))
}

async fn change_end(
    form: &Form,
    owner: &Owner,
    id: TokenId,
    end: Option<Timestamp>,
    mark: String,
) -> Result<(), ApiError> {
    let (caller, of, seen) = (&form.visitor.caller, owner.clone(), seen::of(form));
    let may = caller.may(move |caller| of.find(caller, id))?;
    let extend = move |caller: &Authority<'_>, token: Arc<Token>| {
        let change = rotation::extend(caller.directory, token.id, end, &caller.terms());
        let change =
            confirmed(&mark, change, |writes| Loss::brought_forward(caller.directory, writes, token.id, caller.now));
        seen.unchanged(values(&token), change, values)
    };
    caller.change("end of a token changed", may, extend).await.map(drop)
}

/// Returns what the form of a token shows of it.
fn values(token: &Token) -> Vec<SeenValue> {
    vec![SeenValue::of("expires_at", token.expires_at.map(day_text).unwrap_or_default())]
}

fn end_changed(lost: &Lost) -> String {
    let others = losses::sentence(lost);
    if others.is_empty() {
        "The end of the token was saved.".to_owned()
    } else {
        format!("The end of the token was saved. It is now also that of {others}.")
    }
}

fn confirmation(visitor: &Visitor, owner: &Owner, token: &Token, (typed, shown): (&str, &str), lost: &Lost) -> Markup {
    html! {
        (owner.crumbs(visitor, &format!("End of {}", token.name)))
        h1 { "End more than the token " (token.name) " on " (typed) "?" }
        section aria-labelledby="goes" {
            h2 #goes { "These end on that day, too" }
            p.soft {
                "They were made with this token and do not outlive it. A later end of it does not give theirs back."
            }
            dl.facts { (losses::facts(lost)) }
            form method="post" action={ (owner.address()) "/" (token.id.0) "/extend" } {
                (token_field(visitor))
                (losses::field(lost))
                input type="hidden" name=(seen::FIELD) value=(shown);
                input type="hidden" name="expires_at" value=(typed);
                div.actions { button.danger { "End all of them on " (typed) } a href=(owner.address()) { "Cancel" } }
            }
        }
    }
}

fn form_of(visitor: &Visitor, owner: &Owner, token: &Token, typed: &str, problem: Option<&Problem>) -> Markup {
    html! {
        (owner.crumbs(visitor, &format!("End of {}", token.name)))
        h1 { "When does the token " (token.name) " expire?" }
        @if let Some(problem) = problem { (problem.note()) }
        form.stack method="post" action={ (owner.address()) "/" (token.id.0) "/extend" } {
            (typed_form(visitor))
            (seen::field(&values(token)))
            (Field::new("expires_at", "Expires on").kind(FieldKind::Day("")).short().value(typed)
                .hint("It stops working when this day begins, by UTC. Empty: never. Its secret stays").show(problem))
            div.actions { button.primary { "Save the end" } a href=(owner.address()) { "Cancel" } }
        }
    }
}
