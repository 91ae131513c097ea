//! Tokens: those that pull for a group, for its owners, and the personal ones of the visitor. Lists, and the ways to
//! make, rotate, extend and revoke one.

mod change;
mod creation;
mod secret;

use std::sync::Arc;

use actix_web::HttpResponse;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::page;
use super::pages::Part;
use super::parts::{crumbs, icon, tabs};
use super::visitor::Visitor;
use super::words::{day, time};
use crate::domain::group::Group;
use crate::domain::id::{TokenId, UserId};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::token::{Token, TokenOwner};
use crate::http::api::{self, ApiError, Authority, Right};

/// The owner of the tokens of a page.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// This group. The group is found once, by its path: a path may be that of another group at the change.
    Group(Arc<Group>),
    /// The visitor.
    Visitor,
}

/// A page about tokens, by the rest of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokensPage {
    /// The list.
    List,
    /// The form for a new one.
    New,
    /// The form that rotates one.
    Rotate(TokenId),
    /// The form that changes the end of one.
    Extend(TokenId),
    /// The confirmation before one is revoked.
    Revoke(TokenId),
}

/// Time before its end from which on a token is said to expire soon.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Shows a page.
pub(super) fn show(visitor: &Visitor, owner: &Owner, page: TokensPage, query: &str) -> Result<HttpResponse, Fault> {
    match page {
        TokensPage::List => Ok(list(visitor, owner, &Part::of(query))),
        TokensPage::New => Ok(creation::show(visitor, owner)),
        TokensPage::Rotate(id) => change::show_rotation(visitor, owner, id),
        TokensPage::Extend(id) => change::show_extension(visitor, owner, id),
        TokensPage::Revoke(id) => change::show_revocation(visitor, owner, id),
    }
}

/// Carries out what the form of a page wants.
pub(super) async fn change(form: &Form, owner: &Owner, page: TokensPage) -> Result<HttpResponse, Fault> {
    match page {
        TokensPage::List => Err(form.visitor.no_such_page()),
        TokensPage::New => creation::create(form, owner).await,
        TokensPage::Rotate(id) => change::rotate(form, owner, id).await,
        TokensPage::Extend(id) => change::extend(form, owner, id).await,
        TokensPage::Revoke(id) => change::revoke(form, owner, id).await,
    }
}

impl TokensPage {
    /// Returns the page with this rest of an address, such as `/12/revoke`.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.get(1..)? {
            _ if !parts[0].is_empty() => None,
            [] => Some(Self::List),
            ["new"] => Some(Self::New),
            [id, "rotate"] => Some(Self::Rotate(TokenId(id.parse().ok()?))),
            [id, "extend"] => Some(Self::Extend(TokenId(id.parse().ok()?))),
            [id, "revoke"] => Some(Self::Revoke(TokenId(id.parse().ok()?))),
            _ => None,
        }
    }
}

impl Owner {
    /// Returns the group at this path as the owner.
    ///
    /// # Errors
    ///
    /// Fails unless the visitor may see and change the tokens of this group.
    pub(super) fn of_group(visitor: &Visitor, path: &str) -> Result<Self, Fault> {
        visitor.own_group(path).map(Self::Group)
    }

    /// Returns the address of the list.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Group(group) => format!("{}/tokens", address::of_group(group.path.as_str())),
            Self::Visitor => "/-/account/tokens".to_owned(),
        }
    }

    /// Returns the token with this number, if it is one of these and the caller may change it: the rule that is decided
    /// again at each change.
    fn find(&self, caller: &Authority<'_>, id: TokenId) -> Result<Arc<Token>, ApiError> {
        self.check(caller)?;
        let token = caller.directory.token(id).filter(|token| self.has(token, caller.user.id));
        token.cloned().ok_or(ApiError::NotFound("Token"))
    }

    /// Fails if the caller may not change these tokens.
    fn check(&self, caller: &Authority<'_>) -> Result<(), ApiError> {
        match self {
            Self::Group(group) => caller.group_with(group.id, Right::Own).map(drop),
            Self::Visitor => Ok(()),
        }
    }

    /// Returns true for one of these tokens, where `visitor` is who looks at them.
    fn has(&self, token: &Token, visitor: UserId) -> bool {
        match (&token.owner, self) {
            (TokenOwner::Personal { user }, Self::Visitor) => *user == visitor,
            (TokenOwner::Group { group: of, .. } | TokenOwner::Deploy { group: of, .. }, Self::Group(group)) => {
                *of == group.id
            }
            _ => false,
        }
    }

    /// Returns the token with this number for a page.
    fn token(&self, visitor: &Visitor, id: TokenId) -> Result<Arc<Token>, Fault> {
        self.find(&visitor.authority(), id).map_err(|_| visitor.fault(Kind::NoToken { list: self.address() }))
    }

    /// Shows the way to a page about these tokens.
    fn crumbs(&self, visitor: &Visitor, page: &str) -> Markup {
        match self {
            Self::Group(group) => crumbs(visitor, group, Some(page)),
            Self::Visitor => html! {
                nav.crumbs aria-label="You are here" { a href="/-/account" { (visitor.username()) } span { (page) } }
            },
        }
    }
}

fn list(visitor: &Visitor, owner: &Owner, part: &Part) -> HttpResponse {
    let Owner::Group(group) = owner else {
        return super::see("/-/account");
    };
    let content = html! {
        (crumbs(visitor, group, Some("Tokens")))
        div.head { h1 { (group.path) } }
        (tabs(visitor, group, "tokens"))
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
pub(super) fn table(visitor: &Visitor, owner: &Owner, part: &Part, base: &str) -> Markup {
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
        table.cards role="table" aria-label="Tokens" {
            thead role="rowgroup" {
                tr role="row" {
                    th.main-column role="columnheader" scope="col" aria-sort="ascending" { "Token" }
                    th role="columnheader" scope="col" { "User name" }
                    th role="columnheader" scope="col" { "May" }
                    th role="columnheader" scope="col" { "Last used" }
                    th role="columnheader" scope="col" { "Expires" }
                    th.act role="columnheader" scope="col" { span.unseen { "Actions" } }
                }
            }
            tbody role="rowgroup" { @for token in tokens { (row(visitor, owner, token)) } }
        }
    }
}

fn row(visitor: &Visitor, owner: &Owner, token: &Token) -> Markup {
    let now = visitor.caller.now;
    let (base, id) = (format!("{}/{}", owner.address(), token.id.0), format!("menu-{}", token.id.0));
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (token.name) } span.under { (kind(visitor, token)) } }
            td.two role="cell" data-label="User name" {
                @match &token.owner {
                    TokenOwner::Deploy { username, .. } => { code { (username) } },
                    _ => "any",
                }
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
fn may(scopes: &Scopes) -> &'static str {
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
        } @else if left < SOON {
            div.state.warn {
                (icon("stale"))
                b {
                    @if left.as_hours() < 48 {
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
