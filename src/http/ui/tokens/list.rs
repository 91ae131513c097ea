//! The list of the tokens of an owner.

use std::sync::Arc;

use actix_web::HttpResponse;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::Owner;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::token::{Token, TokenOwner};
use crate::http::api;
use crate::http::ui::formatting::{day, time};
use crate::http::ui::icons::icon;
use crate::http::ui::page;
use crate::http::ui::pages::Part;
use crate::http::ui::parts::top;
use crate::http::ui::see;
use crate::http::ui::table::{self, Column};
use crate::http::ui::visitor::Visitor;

/// Time before the end of a token from which on it is shown as expiring soon.
const EXPIRES_SOON_TIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Shows the page with the list.
pub(super) async fn list(visitor: &Visitor, owner: &Owner, part: &Part) -> HttpResponse {
    let Owner::Group(group) = owner else {
        return see("/-/account");
    };
    let content = html! {
        (top(visitor, group, "Tokens", "tokens").await)
        section aria-labelledby="list" {
            div.head {
                h2 #list { "Tokens that belong to " (group.path) }
                a.button.primary href={ (owner.address()) "/new" } { "New token" }
            }
            p.soft {
                "They pull from " (group.path) " and the groups below it, and from nothing else. A token that you
                revoke fails at the very next request."
            }
            (table(visitor, owner, part, &owner.address()))
            p.hint {
                "For your own machine make a " a href="/-/account" { "personal access token" }
                ": it pulls wherever you are a member."
            }
        }
    };
    page::show(&visitor.frame(), &format!("Tokens of {}", group.path), &content)
}

/// Returns the table of the tokens of an owner that are not revoked, or a sentence if there are none. `base` is the
/// address of the page that has it.
pub(in crate::http::ui) fn table(visitor: &Visitor, owner: &Owner, part: &Part, base: &str) -> Markup {
    let authority = visitor.authority();
    let may_change = owner.check(&authority).is_ok();
    let is_of = |token: &&Arc<Token>| token.revoked_at.is_none() && owner.has(token, authority.user.id);
    let mut tokens: Vec<Arc<Token>> =
        visitor.caller.directory.tokens().filter(|token| may_change && is_of(token)).cloned().collect();
    tokens.sort_by(|a, b| a.name.to_lowercase().cmp(&b.name.to_lowercase()).then(a.id.0.cmp(&b.id.0)));
    if tokens.is_empty() {
        return html! { p { "There is none yet." } };
    }
    let total = tokens.len();
    tokens.retain(|token| token.name.to_lowercase().contains(&part.search));
    html! {
        (part.search_form(base, "Name of a token", total))
        @if tokens.is_empty() {
            p { "No token has " b { (part.search) } " in its name. " a href=(base) { "Show all tokens" } }
        } @else {
            (rows(visitor, owner, part.of_all(&tokens)))
            (part.links(base, tokens.len(), "tokens"))
        }
    }
}

fn rows(visitor: &Visitor, owner: &Owner, tokens: &[Arc<Token>]) -> Markup {
    html! {
        (table::show("Tokens", &[
            Column::main("Token").sorted(Some("ascending")),
            Column::new("User name"),
            Column::new("May"),
            Column::new("Last used"),
            Column::new("Expires"),
            Column::actions(),
        ], html! { @for token in tokens { (row(visitor, owner, token)) } }))
    }
}

fn row(visitor: &Visitor, owner: &Owner, token: &Token) -> Markup {
    let now = visitor.caller.now;
    let (base, id) = (format!("{}/{}", owner.address(), token.id.0), format!("menu-{}", token.id.0));
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (token.name) } span.under { (kind(visitor, token)) } }
            td.two role="cell" data-label="User name" {
                @match token.owner.username() { Some(username) => { code { (username) } }, None => "any" }
            }
            td role="cell" data-label="May" { (may(&token.scopes)) }
            td.two role="cell" data-label="Last used" {
                @match api::last_use(&visitor.caller, token) { Some(at) => (time(at, now)), None => "never" }
                (addresses(visitor, token))
            }
            td role="cell" data-label="Expires" { (end(token, now)) }
            td.act role="cell" {
                button.tiny.dots type="button" popovertarget=(id) aria-label={ "Actions for " (token.name) }
                    title="Actions" {
                    (icon("dots"))
                }
                div.menu id=(id) popover {
                    p { (token.name) }
                    a href={ (base) "/rotate" } { "Rotate: new secret…" }
                    a href={ (base) "/extend" } { "Change its end…" }
                    a.bad href={ (base) "/revoke" } { "Revoke…" }
                }
            }
        }
    }
}

/// Shows the addresses from which a token was last used, the latest first.
fn addresses(visitor: &Visitor, token: &Token) -> Markup {
    let now = visitor.caller.now;
    html! {
        @for (number, used) in api::last_address_uses(&visitor.caller, token).iter().enumerate() {
            span.under { "from " (used.address) @if number > 0 { ", " (time(used.at, now)) } }
        }
    }
}

fn kind(visitor: &Visitor, token: &Token) -> Markup {
    match token.owner {
        TokenOwner::Deploy { .. } => html! { "Deploy token" },
        TokenOwner::Personal { .. } => html! { (token.description) },
        TokenOwner::Group { group, bot } => {
            let member = visitor.caller.directory.membership(group, bot);
            html! { "Group access token" @if let Some(member) = member { ", " (member.level.name()) } }
        }
    }
}

/// Returns what a token with these scopes may do.
pub(super) fn may(scopes: &Scopes) -> &'static str {
    if scopes.contains(Scope::Api) {
        "Everything"
    } else {
        match (scopes.have_pull_pair(), scopes.contains(Scope::ReadApi)) {
            (true, true) => "Pull, and read over the API",
            (true, false) => "Pull",
            (false, true) => "Read over the API",
            (false, false) => "Nothing: a pair of scopes is incomplete",
        }
    }
}

fn end(token: &Token, now: Timestamp) -> Markup {
    let Some(at) = token.expires_at else { return html! { "Never" } };
    let left = at.duration_since(now);
    html! {
        @if left <= SignedDuration::ZERO {
            div.state.bad { (icon("bad")) b { "Expired" } span { (day(at)) } }
        } @else if left < EXPIRES_SOON_TIME {
            div.state.warn {
                (icon("stale"))
                b {
                    @if left.as_hours() < 1 {
                        "Within the hour"
                    } @else if left.as_hours() < 48 {
                        "In " (left.as_hours()) " h"
                    } @else {
                        "In " (left.as_hours() / 24) " days"
                    }
                }
                span { (day(at)) }
            }
        } @else {
            (day(at))
        }
    }
}
