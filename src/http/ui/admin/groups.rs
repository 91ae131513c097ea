//! All groups by size, with search, order and pages.

use std::cmp::Reverse;
use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::actors::images::KnownTotals;
use crate::domain::group::Group;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};
use crate::http::query::value_in;
use crate::http::ui::fault::Fault;
use crate::http::ui::formatting::{number, percent};
use crate::http::ui::pages::{Part, check_word, search_form};
use crate::http::ui::parts::{admin_tabs, group_words, stored};
use crate::http::ui::table::{self, Column};
use crate::http::ui::visitor::Visitor;
use crate::http::ui::{address, chart, page};

/// Address of the page.
const GROUPS: &str = "/-/admin/groups";

/// Shows the page.
pub(super) async fn show(visitor: &Visitor, query: &str) -> Result<HttpResponse, Fault> {
    visitor.valid(check_word(query, "sort", &["name"]))?;
    let part = Part::of(query);
    let by_name = value_in(query, "sort").is_some_and(|word| word == "name");
    let sort = if by_name { "name" } else { "" };
    let images = &visitor.caller.state.images;
    let sizes = images.known_totals().await.map_err(|error| visitor.refused(&error.into()))?;
    let fits = |group: &&Arc<Group>| group.path.as_str().contains(&part.search);
    let mut groups: Vec<&Arc<Group>> = visitor.caller.directory.groups().filter(fits).collect();
    let bytes = |group: &Group| sizes.of(group.id).map_or(0, |totals| totals.bytes);
    groups.sort_by_cached_key(|group| (if by_name { Reverse(0) } else { Reverse(bytes(group)) }, group.path.clone()));
    let mut rows = Vec::new();
    for group in part.of_all(&groups) {
        let traffic = images.traffic(Some(group.id), TRAFFIC_HOURS, visitor.caller.now).await.unwrap_or_default();
        rows.push(row(visitor, group, &sizes, &traffic));
    }
    let content = html! {
        div.head { h1 { "Groups" } }
        (admin_tabs(visitor, "/groups"))
        section aria-labelledby="list" {
            h2.unseen #list { "All groups" }
            (tools(&part.search))
            @if groups.is_empty() {
                p { "There is no such group. " a href=(GROUPS) { "Show all groups" } }
            } @else {
                (table::show("Groups", &columns(by_name), html! { @for row in rows { (row) } }))
                (part.numbered((GROUPS, ("sort", sort)), groups.len(), "groups"))
            }
            p.hint {
                @if sizes == KnownTotals::NotYet { "Sizes are still being counted after a start of the service. " }
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
            (search_form(GROUPS, "Path of a group", search, &[]))
            a.button.primary href="/-/groups/new" { "New group" }
        }
    }
}

fn columns(by_name: bool) -> [Column<'static>; 7] {
    [
        Column::main("Group").sorted(by_name.then_some("ascending")).link("?sort=name".to_owned()),
        Column::new("Pulls"),
        Column::num("Images"),
        Column::new("Stored").sorted((!by_name).then_some("descending")).link("?".to_owned()),
        Column::num("Hit ratio, 24 h"),
        Column::num("Pulls, 24 h"),
        Column::new("Last pull"),
    ]
}

fn row(visitor: &Visitor, group: &Group, sizes: &KnownTotals, traffic: &[(Hour, Traffic)]) -> Markup {
    let (now, day) = (visitor.caller.now, chart::of_day(traffic, visitor.caller.now));
    let totals = sizes.of(group.id);
    let is_on = visitor.caller.state.switched_off(&visitor.caller.directory, group.id).is_none();
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                div.name { a href=(address::of_group(group.path.as_str())) { (group_words(group.path.as_str())) } }
            }
            td role="cell" data-label="Pulls" { @if is_on { "On" } @else { span.badge { "Off" } } }
            td.num role="cell" data-label="Images" {
                @match totals { Some(totals) => (number(totals.images)), None => "unknown" }
            }
            td role="cell" data-label="Stored" {
                @match totals { Some(totals) => (stored(totals.bytes, group.cache.max_bytes)), None => "unknown" }
            }
            td.num role="cell" data-label="Hits, 24 h" {
                @match day.hit_ratio() { Some(ratio) => (percent(ratio)), None => "–" }
            }
            td.num role="cell" data-label="Pulls, 24 h" { (number(day.pulls())) }
            td role="cell" data-label="Last pull" { (chart::last_pull(traffic, now)) }
        }
    }
}
