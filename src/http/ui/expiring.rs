//! Tokens that end within days: a note for those who can replace them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::address;
use super::formatting::{day, number_of};
use super::icons::icon;
use super::visitor::Visitor;
use crate::domain::access::AccessLevel;
use crate::domain::id::GroupId;
use crate::domain::token::{Token, TokenOwner};

/// Time before its end from which on a token is named in a note.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Maximum number of tokens that a note names.
const NAMED: usize = 3;

/// Returns the tokens that are wanted and end soon, the first to end first.
pub(super) fn soon(visitor: &Visitor, is_wanted: impl Fn(&Token) -> bool) -> Vec<Arc<Token>> {
    let now = visitor.caller.now;
    let ends_soon = |token: &&Arc<Token>| token.is_active(now) && token.expires_at.is_some_and(|at| is_soon(at, now));
    let tokens = visitor.caller.directory.tokens().filter(ends_soon).filter(|token| is_wanted(token));
    let mut tokens: Vec<_> = tokens.cloned().collect();
    tokens.sort_by_key(|token| (token.expires_at, token.id.0));
    tokens
}

/// Shows a note about the tokens of the visitor, and of the groups that the visitor owns, that end soon.
pub(super) fn note(visitor: &Visitor) -> Markup {
    let tokens = soon(visitor, |token| is_of(visitor, token));
    html! {
        @if !tokens.is_empty() {
            div.note.warn {
                (icon("stale"))
                div {
                    p {
                        b {
                            (number_of(tokens.len() as u64, "token")) " of yours or of your groups "
                            @if tokens.len() == 1 { "expires" } @else { "expire" } " within 7 days."
                        }
                        " What uses them fails from then on: change their end, or make new ones. A rotation keeps the end."
                    }
                    ul {
                        @for token in tokens.iter().take(NAMED) { li { (link(visitor, token)) } }
                        @if tokens.len() > NAMED { li { "and " (tokens.len() - NAMED) " more" } }
                    }
                }
            }
        }
    }
}

/// Shows how many tokens end soon, and the first of them, as a sentence.
pub(super) fn summary(visitor: &Visitor, tokens: &[Arc<Token>]) -> Markup {
    let verb = if tokens.len() == 1 { "expires" } else { "expire" };
    let others = tokens.len().saturating_sub(NAMED);
    html! {
        p {
            (number_of(tokens.len() as u64, "token")) " " (verb) " within 7 days: "
            @for (place, token) in tokens.iter().take(NAMED).enumerate() {
                @if place > 0 { "; " } (token.name) " of " (owner(visitor, token))
                @if let Some(end) = token.expires_at { ", on " (day(end)) }
            }
            @if others > 0 { "; and " (others) " more" } "."
        }
    }
}

fn owner(visitor: &Visitor, token: &Token) -> String {
    let directory = &visitor.caller.directory;
    match token.owner {
        TokenOwner::Personal { user } => directory.user(user).map(|user| user.username.to_string()),
        TokenOwner::Group { group, .. } | TokenOwner::Deploy { group, .. } => {
            directory.group(group).map(|group| group.path.to_string())
        }
    }
    .unwrap_or_default()
}

fn is_soon(end: Timestamp, now: Timestamp) -> bool {
    end.duration_since(now) < SOON
}

/// Returns true for a token that the visitor owns, or that is of a group of which the visitor is an owner.
fn is_of(visitor: &Visitor, token: &Token) -> bool {
    let owns = |group: GroupId| visitor.authority().own_level(group) >= Some(AccessLevel::Owner);
    match token.owner {
        TokenOwner::Personal { user } => user == visitor.caller.user.id,
        TokenOwner::Group { group, .. } | TokenOwner::Deploy { group, .. } => owns(group),
    }
}

fn link(visitor: &Visitor, token: &Token) -> Markup {
    let path = token.owner.group().and_then(|group| visitor.caller.directory.group(group)).map(|group| &group.path);
    let list = path.map_or("/-/account".to_owned(), |path| format!("{}/tokens", address::of_group(path.as_str())));
    html! {
        a href=(list) { (token.name) }
        @if let Some(path) = path { " of " (path) }
        @if let Some(end) = token.expires_at { ", on " (day(end)) }
    }
}
