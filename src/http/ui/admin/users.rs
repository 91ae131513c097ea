//! The list of all users, with search, filters and pages.

use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

use super::{ADMIN, tabs};
use crate::domain::token::{Token, TokenOwner};
use crate::domain::user::User;
use crate::http::api::last_use;
use crate::http::query::value_in;
use crate::http::ui::page;
use crate::http::ui::pages::{Numbered, PER_PAGE, page_in, page_value, query_of};
use crate::http::ui::parts::{icon, token_field};
use crate::http::ui::visitor::Visitor;
use crate::http::ui::words::{day, number, time};

/// The users that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    People,
    Administrators,
    Blocked,
    Bots,
}

/// All filters, with their words in addresses and on the page.
const FILTERS: [(Filter, &str, &str); 4] = [
    (Filter::People, "", "People"),
    (Filter::Administrators, "administrators", "Administrators"),
    (Filter::Blocked, "blocked", "Blocked"),
    (Filter::Bots, "bots", "Bots"),
];

impl Filter {
    fn fits(self, user: &User) -> bool {
        match self {
            Self::People => user.bot_of.is_none(),
            Self::Administrators => user.admin,
            Self::Blocked => user.blocked,
            Self::Bots => user.bot_of.is_some(),
        }
    }
}

/// Shows the page.
pub(super) fn show(visitor: &Visitor, query: &str) -> HttpResponse {
    let value = |name: &str| value_in(query, name).unwrap_or_default();
    let search = value("q").trim().to_owned();
    let (filter, word, _) = FILTERS.into_iter().find(|(_, word, _)| *word == value("show")).unwrap_or(FILTERS[0]);
    let at = page_in(query);
    let to =
        |page| format!("{ADMIN}/users{}", query_of(&[("q", &search), ("show", word), ("page", &page_value(page))]));
    let mut users: Vec<&Arc<User>> = visitor.caller.directory.users().filter(|user| filter.fits(user)).collect();
    users.retain(|user| [&user.name, user.username.as_str()].iter().any(|text| contains(text, &search)));
    users.sort_by_cached_key(|user| user.username.folded());
    let content = html! {
        div.head { h1 { "Users" } }
        (tabs(visitor, "/users"))
        section aria-labelledby="list" {
            h2.unseen #list { "All users" }
            (tools(visitor, &search, filter, word))
            @if users.is_empty() {
                p { "There is no such user. " a href={ (ADMIN) "/users" } { "Show all people" } }
            } @else {
                (table(visitor, users.iter().skip(at * PER_PAGE).take(PER_PAGE).copied()))
                (Numbered { page: at, total: users.len(), things: "users" }.show(to))
            }
            p.hint {
                "A user who is blocked is signed out, and all tokens of that user are refused with the next request.
                Bots are the users behind group access tokens; they go with their token."
            }
        }
    };
    page::show(&visitor.frame(), "Users", &content)
}

fn contains(text: &str, search: &str) -> bool {
    text.to_lowercase().contains(&search.to_lowercase())
}

fn tools(visitor: &Visitor, search: &str, filter: Filter, word: &str) -> Markup {
    let count = |filter: Filter| visitor.caller.directory.users().filter(|user| filter.fits(user)).count();
    html! {
        div.tools {
            form role="search" action={ (ADMIN) "/users" } {
                label.unseen for="q" { "User name" }
                input #q name="q" type="search" placeholder="User name" value=(search);
                @if !word.is_empty() { input type="hidden" name="show" value=(word); }
                button { "Search" }
            }
            ul.filters aria-label="Show" {
                @for (one, word, label) in FILTERS {
                    @let query = if word.is_empty() { String::new() } else { format!("?show={word}") };
                    li {
                        a href={ (ADMIN) "/users" (query) } aria-current=[(one == filter).then_some("true")] {
                            (label) " " span.count { (number(count(one) as u64)) }
                        }
                    }
                }
            }
            a.button.primary href={ (ADMIN) "/users/new" } { "New user" }
        }
    }
}

fn table<'a>(visitor: &Visitor, users: impl Iterator<Item = &'a Arc<User>>) -> Markup {
    html! {
        table.cards role="table" aria-label="Users" {
            thead role="rowgroup" {
                tr role="row" {
                    th.main-column role="columnheader" scope="col" aria-sort="ascending" { "User" }
                    th role="columnheader" scope="col" { "State" }
                    th.num role="columnheader" scope="col" { "Groups" }
                    th.num role="columnheader" scope="col" { "Tokens" }
                    th role="columnheader" scope="col" { "Last seen" }
                    th role="columnheader" scope="col" { "Since" }
                    th.act role="columnheader" scope="col" { span.unseen { "Actions" } }
                }
            }
            tbody role="rowgroup" { @for user in users { (row(visitor, user)) } }
        }
    }
}

fn row(visitor: &Visitor, user: &User) -> Markup {
    let (directory, now) = (&visitor.caller.directory, visitor.caller.now);
    let groups = directory.memberships().filter(|member| member.user == user.id).count();
    let tokens: Vec<&Arc<Token>> = directory.tokens().filter(|token| is_of(token, user)).collect();
    let by_tokens = tokens.iter().filter_map(|token| last_use(&visitor.caller, token));
    let by_password =
        user.password.as_ref().and_then(|password| visitor.caller.state.last_used.of(password.credential));
    let seen = by_tokens.chain(by_password).max();
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                b { (user.username) }
                @if user.admin { " " span.badge { "Administrator" } }
                @if user.id == visitor.caller.user.id { " " span.badge { "You" } }
                @if user.name != user.username.as_str() { span.under { (user.name) } }
            }
            td.two role="cell" data-label="State" { (state(user)) }
            td.num role="cell" data-label="Groups" { (number(groups as u64)) }
            td.num role="cell" data-label="Tokens" { (number(tokens.len() as u64)) }
            td role="cell" data-label="Last seen" { @match seen { Some(at) => (time(at, now)), None => "never" } }
            td role="cell" data-label="Since" { (day(user.created_at)) }
            td.act role="cell" {
                @if user.bot_of.is_none() && user.id != visitor.caller.user.id { (menu(visitor, user)) }
            }
        }
    }
}

fn is_of(token: &Token, user: &User) -> bool {
    matches!(token.owner, TokenOwner::Personal { user: owner } if owner == user.id)
}

fn state(user: &User) -> Markup {
    html! {
        @if user.blocked {
            div.state.bad {
                (icon("bad")) b { "Blocked" } @if let Some(at) = user.block_changed_at { span { "since " (day(at)) } }
            }
        } @else {
            div.state.good { (icon("fresh")) b { "Active" } }
        }
    }
}

fn menu(visitor: &Visitor, user: &User) -> Markup {
    let (name, base) = (user.username.as_str(), format!("{ADMIN}/users/{}", user.id.0));
    let id = format!("menu-{}", user.id.0);
    html! {
        button.tiny.dots type="button" popovertarget=(id) aria-label={ "Actions for " (name) } title="Actions" {
            (icon("dots"))
        }
        div.menu id=(id) popover {
            p { (name) }
            a href={ (base) "/sessions" } { "Sessions…" }
            @if user.blocked {
                form method="post" action={ (base) "/unblock" } { (token_field(visitor)) button { "Unblock" } }
            } @else {
                a.bad href={ (base) "/block" } { "Block…" }
            }
            a.bad href={ (base) "/delete" } { "Delete…" }
        }
    }
}
