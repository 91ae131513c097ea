//! Rotation, extension and revocation of one token: the form of each, and its effect.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{Owner, secret};
use crate::domain::commands::loss::Loss;
use crate::domain::commands::maker::Ending;
use crate::domain::commands::rotation;
use crate::domain::commands::seen::SeenValue;
use crate::domain::commands::token as edit;
use crate::domain::id::TokenId;
use crate::domain::overlap::Overlap;
use crate::domain::token::Token;
use crate::http::api::losses::{Lost, confirmed, of_new_end, of_revoked, with_token};
use crate::http::api::{self, ApiError, Authority, rotations};
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::formatting::{day_text, minute, parsed_day, time};
use crate::http::ui::icons::icon;
use crate::http::ui::losses;
use crate::http::ui::page;
use crate::http::ui::parts::{token_field, typed_form};
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The overlaps that the form offers: the value, and its meaning.
const OVERLAPS: [(&str, &str); 4] =
    [("24h", "24 hours more"), ("7d", "7 days more"), ("30d", "30 days more"), ("0", "no longer: it ends at once")];

/// Sentence for a form that was opened before the token was rotated.
const ROTATED: &str = "The token was rotated since this page was opened: its new secret was shown then, and ends with \
                       another rotation";

/// Shows the form that rotates a token.
pub(super) fn show_rotation(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let token = owner.token(visitor, id)?;
    Ok(page::show(&visitor.frame(), "Rotate a token", &rotation_form(visitor, owner, &token, None)))
}

/// Rotates a token, and shows its new secret.
pub(super) async fn rotate(form: &Form, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let token = owner.token(visitor, id)?;
    // A second rotation would end the old secret, which was to stay valid for the overlap of the first one.
    if form.value("present") != Some(token.credential.to_string().as_str()) {
        let content = rotation_form(visitor, owner, &token, Some(&Problem::of_form(ROTATED)));
        return Ok(page::respond(StatusCode::CONFLICT, &visitor.frame(), "Rotate a token", &content));
    }
    let Ok(overlap) = form.value("overlap").unwrap_or_default().parse::<Overlap>() else {
        let problem = Problem::at_field("overlap", "is not a length of time such as 24h");
        let content = rotation_form(visitor, owner, &token, Some(&problem));
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
            let content = rotation_form(visitor, owner, &token, Some(&problem));
            Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Rotate a token", &content))
        }
    }
}

fn rotation_form(visitor: &Visitor, owner: &Owner, token: &Token, problem: Option<&Problem>) -> Markup {
    html! {
        (owner.crumbs(visitor, &format!("Rotate {}", token.name)))
        h1 { "Give the token " (token.name) " a new secret?" }
        @if let Some(problem) = problem { (problem.note()) }
        p.soft {
            @if token.expires_at.is_none_or(|end| end > visitor.caller.now) {
                "It keeps its name, its user name, its scopes and its end."
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

/// Shows the form that changes the end of a token.
pub(super) fn show_extension(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    let token = owner.token(visitor, id)?;
    let end = token.expires_at.map(day_text).unwrap_or_default();
    Ok(page::show(&visitor.frame(), "End of a token", &extension_form(visitor, owner, &token, &end, None)))
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
            let content = extension_confirmation(visitor, owner, &token, (typed, shown), &lost);
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
    let content = extension_form(visitor, owner, &present, typed, Some(&problem));
    Ok(page::respond(problem.status(), &visitor.frame(), "End of a token", &content))
}

/// Returns the end that was typed, and what ends earlier with it.
fn wanted_end(visitor: &Visitor, token: &Token, typed: &str) -> Result<(Option<Timestamp>, Lost), ApiError> {
    let invalid = |()| ApiError::Invalid { field: "expires_at", reason: "is not a day such as 2027-02-26".to_owned() };
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

fn extension_confirmation(
    visitor: &Visitor,
    owner: &Owner,
    token: &Token,
    (typed, shown): (&str, &str),
    lost: &Lost,
) -> Markup {
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

fn extension_form(visitor: &Visitor, owner: &Owner, token: &Token, typed: &str, problem: Option<&Problem>) -> Markup {
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

/// Shows what follows from the revocation of a token.
pub(super) fn show_revocation(visitor: &Visitor, owner: &Owner, id: TokenId) -> Result<HttpResponse, Fault> {
    revocation(visitor, owner, id, StatusCode::OK, None)
}

fn revocation(
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
            (revocation_facts(visitor, owner, &token))
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

fn revocation_facts(visitor: &Visitor, owner: &Owner, token: &Token) -> Markup {
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
            revocation(visitor, owner, id, StatusCode::CONFLICT, Some(&problem))
        }
    }
}
