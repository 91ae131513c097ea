//! All groups by size, with search, order and pages.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

use super::{ADMIN, tabs};
use crate::actors::images::GroupTotals;
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::traffic::Traffic;
use crate::http::query::value_in;
use crate::http::ui::fault::Fault;
use crate::http::ui::pages::{Numbered, PER_PAGE, page_in, page_value, query_of};
use crate::http::ui::parts::{path_words, stored};
use crate::http::ui::visitor::Visitor;
use crate::http::ui::words::{number, percent};
use crate::http::ui::{address, chart, page};

/// Sizes of what groups have cached.
type Sizes = HashMap<GroupId, GroupTotals>;

/// Shows the page.
pub(super) async fn show(visitor: &Visitor, query: &str) -> Result<HttpResponse, Fault> {
    let value = |name: &str| value_in(query, name).unwrap_or_default();
    let (search, by_name) = (value("q").trim().to_lowercase(), value("sort") == "name");
    let at = page_in(query);
    let sort = if by_name { "name" } else { "" };
    let to =
        |page| format!("{ADMIN}/groups{}", query_of(&[("q", &search), ("sort", sort), ("page", &page_value(page))]));
    let images = &visitor.caller.state.images;
    let sizes = images.totals().await.map_err(|error| visitor.refused(&error.into()))?.unwrap_or_default();
    let fits = |group: &&Arc<Group>| group.path.as_str().contains(&search);
    let mut groups: Vec<&Arc<Group>> = visitor.caller.directory.groups().filter(fits).collect();
    let bytes = |group: &Group| sizes.get(&group.id).map_or(0, |totals| totals.bytes);
    groups.sort_by_cached_key(|group| (if by_name { Reverse(0) } else { Reverse(bytes(group)) }, group.path.clone()));
    let mut rows = Vec::new();
    for group in groups.iter().skip(at * PER_PAGE).take(PER_PAGE) {
        let traffic = images.traffic(Some(group.id), chart::HOURS, visitor.caller.now).await.unwrap_or_default();
        let day = Traffic::of_all(&chart::last_hours(&traffic, visitor.caller.now));
        rows.push(row(visitor, group, &sizes, &day));
    }
    let content = html! {
        div.head { h1 { "Groups" } }
        (tabs(visitor, "/groups"))
        section aria-labelledby="list" {
            h2.unseen #list { "All groups" }
            (tools(&search))
            @if groups.is_empty() {
                p { "There is no such group. " a href={ (ADMIN) "/groups" } { "Show all groups" } }
            } @else {
                table.cards role="table" aria-label="Groups" {
                    (head(by_name))
                    tbody role="rowgroup" { @for row in rows { (row) } }
                }
                (Numbered { page: at, total: groups.len(), things: "groups" }.show(to))
            }
            p.hint {
                "A group counts all that it has pulled in full. The store has each content once, so that groups add "
                "up to more."
            }
        }
    };
    Ok(page::show(&visitor.frame(), "Groups", &content))
}

fn tools(search: &str) -> Markup {
    html! {
        div.tools {
            form role="search" action={ (ADMIN) "/groups" } {
                label.unseen for="q" { "Path of a group" }
                input #q name="q" type="search" placeholder="Path of a group" value=(search);
                button { "Search" }
            }
            a.button.primary href="/-/groups/new" { "New group" }
        }
    }
}

fn head(by_name: bool) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" {
                th.main-column role="columnheader" scope="col" aria-sort=[by_name.then_some("ascending")] {
                    a href="?sort=name" { "Group" }
                }
                th role="columnheader" scope="col" { "Pulls" }
                th.num role="columnheader" scope="col" { "Images" }
                th role="columnheader" scope="col" aria-sort=[(!by_name).then_some("descending")] {
                    a href="?" { "Stored" }
                }
                th.num role="columnheader" scope="col" { "Hit ratio, 24 h" }
                th.num role="columnheader" scope="col" { "Pulls, 24 h" }
            }
        }
    }
}

fn row(visitor: &Visitor, group: &Group, sizes: &Sizes, day: &Traffic) -> Markup {
    let totals = sizes.get(&group.id).copied().unwrap_or_default();
    let is_on = visitor.caller.state.has_switched_on(&visitor.caller.directory, group.id);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                div.name { a href=(address::of_group(group.path.as_str())) { (path_words(group.path.as_str())) } }
            }
            td role="cell" data-label="Pulls" { @if is_on { "On" } @else { span.badge { "Off" } } }
            td.num role="cell" data-label="Images" { (number(totals.images)) }
            td role="cell" data-label="Stored" { (stored(totals.bytes, group.cache.max_bytes)) }
            td.num role="cell" data-label="Hits, 24 h" {
                @match day.hit_ratio() { Some(ratio) => (percent(ratio)), None => "–" }
            }
            td.num role="cell" data-label="Pulls, 24 h" { (number(day.pulls())) }
        }
    }
}
