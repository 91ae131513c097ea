//! Rotation of one token: the form, and its effect.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::{Owner, secret};
use crate::domain::commands::maker::Ending;
use crate::domain::id::TokenId;
use crate::domain::overlap::Overlap;
use crate::domain::token::Token;
use crate::http::api::{ApiError, Authority, rotations};
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::Field;
use crate::http::ui::form::Form;
use crate::http::ui::formatting::{day, minute};
use crate::http::ui::icons::icon;
use crate::http::ui::page;
use crate::http::ui::parts::token_field;
use crate::http::ui::problem::Problem;
use crate::http::ui::visitor::Visitor;

/// The overlaps that the form offers: the value, and its meaning.
const OVERLAPS: [(&str, &str); 4] =
    [("24h", "24 hours more"), ("7d", "7 days more"), ("30d", "30 days more"), ("0", "no longer: it ends at once")];

/// Sentence for a form that was opened before the token was rotated.
const ROTATED: &str = "The token was rotated since this page was opened: its new secret was shown then, and ends with \
                       another rotation";

/// Shows the form that rotates a token.
pub(super) fn show(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let token = owner.token(visitor, id)?;
    Ok(page::show(&visitor.frame(), "Rotate a token", &form_of(visitor, owner, &token, None)))
}

/// Rotates a token, and shows its new secret.
pub(super) async fn rotate(form: &Form, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let token = owner.token(visitor, id)?;
    // A second rotation would end the old secret, which was to stay valid for the overlap of the first one.
    if form.value("present") != Some(token.credential.to_string().as_str()) {
        let content = form_of(visitor, owner, &token, Some(&Problem::of_form(ROTATED)));
        return Ok(page::respond(StatusCode::CONFLICT, &visitor.frame(), "Rotate a token", &content));
    }
    let Ok(overlap) = form.value("overlap").unwrap_or_default().parse::<Overlap>() else {
        let problem = Problem::at_field("overlap", "is not a length of time such as 24h");
        let content = form_of(visitor, owner, &token, Some(&problem));
        return Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Rotate a token", &content));
    };
    // The end is changed on a page of its own. A token that has expired gets no end, or the latest that is allowed.
    let has_expired = token.expires_at.is_some_and(|at| at <= visitor.caller.now);
    let ending = has_expired.then_some(Ending::Never);
    let (of, present) = (owner.clone(), token.credential);
    let still_present = move |caller: &Authority<'_>| {
        let token = of.find(caller, id)?;
        // The same form may have been sent twice at once.
        if token.credential == present { Ok(token) } else { Err(ApiError::Refused(ROTATED)) }
    };
    let rotated = match visitor.caller.may(still_present) {
        Ok(may) => rotations::rotate(&visitor.caller, may, ending, overlap).await,
        Err(error) => Err(error),
    };
    match rotated {
        Ok((token, others, secret)) => {
            Ok(secret::show(visitor, owner, &token, (&secret, Some(&others)), "has a new secret"))
        }
        Err(error) => {
            let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
            let content = form_of(visitor, owner, &token, Some(&problem));
            Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Rotate a token", &content))
        }
    }
}

fn form_of(visitor: &Visitor, owner: &Owner, token: &Token, problem: Option<&Problem>) -> Markup {
    html! {
        (owner.crumbs(visitor, &format!("Rotate {}", token.name)))
        h1 { "Give the token " (token.name) " a new secret?" }
        @if let Some(problem) = problem { (problem.note()) }
        p.soft {
            @if token.expires_at.is_none_or(|end| end > visitor.caller.now) {
                "It keeps its name, its user name, its scopes and its end"
                @if let Some(end) = token.expires_at {
                    ", " (day(end)) ", when both secrets end. "
                    a href={ (owner.address()) "/" (token.id.0) "/extend" } { "Change the end" }
                }
                "."
            } @else {
                "It keeps its name, its user name and its scopes. Its end has passed: it gets none, or the latest that is "
                "allowed."
            }
        }
        @if let Some(at) = token.old_secret_end(visitor.caller.now) {
            div.note.warn {
                (icon("stale"))
                div {
                    p {
                        b { "The secret before the present one is valid until " (minute(at)) " UTC." }
                        " Another rotation ends it at once."
                    }
                }
            }
        }
        form.stack method="post" action={ (owner.address()) "/" (token.id.0) "/rotate" } {
            (token_field(visitor))
            input type="hidden" name="present" value=(token.credential);
            (Field::new("overlap", "The old secret is valid").short()
                .hint("Until then both work, so that machines can change one after the other")
                .of_options(problem, html! {
                    @for (value, meaning) in OVERLAPS { option value=(value) { (meaning) } }
                }))
            div.actions { button.primary { "Make a new secret" } a href=(owner.address()) { "Cancel" } }
        }
    }
}
