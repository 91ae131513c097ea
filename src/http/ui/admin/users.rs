//! The list of all users, with search, filters and pages.

use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::domain::token::{Token, TokenOwner};
use crate::domain::user::User;
use crate::http::api::last_use;
use crate::http::query::value_in;
use crate::http::ui::formatting::{day, number, time};
use crate::http::ui::icons::icon;
use crate::http::ui::page;
use crate::http::ui::pages::{Part, search_form};
use crate::http::ui::parts::{admin_tabs, token_field};
use crate::http::ui::table::{self, Column};
use crate::http::ui::visitor::Visitor;

/// The users that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    People,
    Administrators,
    Blocked,
    Bots,
}

/// Address of the page.
const USERS: &str = "/-/admin/users";

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
    let part = Part::of(query);
    let wanted = value_in(query, "show").unwrap_or_default();
    let (filter, word, _) = FILTERS.into_iter().find(|(_, word, _)| *word == wanted).unwrap_or(FILTERS[0]);
    let mut users: Vec<&Arc<User>> = visitor.caller.directory.users().filter(|user| filter.fits(user)).collect();
    users.retain(|user| {
        [&user.name, user.username.as_str()].iter().any(|text| text.to_lowercase().contains(&part.search))
    });
    users.sort_by_cached_key(|user| user.username.folded());
    let content = html! {
        div.head { h1 { "Users" } }
        (admin_tabs(visitor, "/users"))
        section aria-labelledby="list" {
            h2.unseen #list { "All users" }
            (tools(visitor, &part.search, filter, word))
            @if users.is_empty() {
                p { "There is no such user. " a href=(USERS) { "Show all people" } }
            } @else {
                (table(visitor, part.of_all(&users)))
                (part.numbered((USERS, ("show", word)), users.len(), "users"))
            }
            p.hint {
                "A user who is blocked is signed out, and all tokens of that user are refused with the next request.
                Bots are the users behind group access tokens; they go with their token."
            }
        }
    };
    page::show(&visitor.frame(), "Users", &content)
}

fn tools(visitor: &Visitor, search: &str, filter: Filter, word: &str) -> Markup {
    let count = |filter: Filter| visitor.caller.directory.users().filter(|user| filter.fits(user)).count();
    html! {
        div.tools {
            (search_form(USERS, "User name", search, &[("show", word)]))
            ul.filters aria-label="Show" {
                @for (one, word, label) in FILTERS {
                    @let query = if word.is_empty() { String::new() } else { format!("?show={word}") };
                    li {
                        a href={ (USERS) (query) } aria-current=[(one == filter).then_some("true")] {
                            (label) " " span.count { (number(count(one) as u64)) }
                        }
                    }
                }
            }
            a.button.primary href={ (USERS) "/new" } { "New user" }
        }
    }
}

fn table(visitor: &Visitor, users: &[&Arc<User>]) -> Markup {
    html! {
        (table::show("Users", &[
            Column::main("User").sorted(Some("ascending")),
            Column::new("State"),
            Column::num("Groups"),
            Column::num("Tokens"),
            Column::new("Last seen"),
            Column::new("Since"),
            Column::actions(),
        ], html! { @for user in users { (row(visitor, user)) } }))
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
    let (name, base) = (user.username.as_str(), format!("{USERS}/{}", user.id.0));
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
