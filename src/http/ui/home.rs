//! `/`: the groups of the user, with what they have cached.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::address;
use super::chart;
use super::expiring;
use super::fault::Fault;
use super::formatting::{number, percent};
use super::new_group;
use super::page;
use super::pages::{self, Part};
use super::parts::{group_words, stored};
use super::table::{self, Column};
use super::visitor::Visitor;
use crate::actors::images::KnownTotals;
use crate::domain::access::AccessLevel;
use crate::domain::group::Group;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};

/// Handles `GET /`.
pub(super) async fn show(request: HttpRequest, visitor: Visitor) -> Result<HttpResponse, Fault> {
    visitor.valid(pages::check(request.query_string()))?;
    let part = Part::of(request.query_string());
    let authority = visitor.authority();
    let is_member = |group: &&Arc<Group>| authority.level(group.id).is_some();
    let mut groups: Vec<Arc<Group>> = visitor.caller.directory.groups().filter(is_member).cloned().collect();
    let total = groups.len();
    groups.retain(|group| group.path.as_str().contains(&part.search));
    groups.sort_by(|a, b| a.path.cmp(&b.path));
    let images = &visitor.caller.state.images;
    let sizes = images.known_totals().await.unwrap_or(KnownTotals::NotYet);
    let mut rows = Vec::new();
    for group in part.of_all(&groups) {
        let traffic = images.traffic(Some(group.id), TRAFFIC_HOURS, visitor.caller.now).await.unwrap_or_default();
        rows.push(row(&visitor, group, &sizes, &traffic));
    }
    let content = html! {
        div.head {
            h1 { @if visitor.caller.user.admin { "All groups" } @else { "Your groups" } }
            @if new_group::may_make(&visitor) { a.button href=(new_group::ADDRESS) { "New group" } }
        }
        p.soft {
            "Each group caches for itself and sees only what it pulled. Members of a group can pull from the groups "
            "below it, too."
        }
        (expiring::note(&visitor))
        (part.search_form("/", "Path of a group", total))
        @if total == 0 {
            (no_groups(&visitor))
        } @else if groups.is_empty() {
            p { "None of the groups has " b { (part.search) } " in its path. " a href="/" { "Show all groups" } }
        } @else {
            (table(&rows))
            (part.links("/", groups.len(), "groups"))
        }
    };
    Ok(page::show(&visitor.frame(), "Groups", &content))
}

fn no_groups(visitor: &Visitor) -> Markup {
    html! {
        section {
            @if visitor.caller.user.admin {
                h2 { "There is no group yet" }
                p { "Make the first one: people and machines pull through it, and it caches what they pull." }
                p.actions { a.button.primary href=(new_group::ADDRESS) { "New group" } }
            } @else {
                h2 { "You are in no group yet" }
                p { "Tell its owners your user name: " b { (visitor.username()) } "." }
            }
        }
    }
}

fn table(rows: &[Markup]) -> Markup {
    html! {
        section aria-labelledby="groups" {
            h2.unseen #groups { "Groups" }
            (table::show("Groups", &[
                Column::main("Group").sorted(Some("ascending")),
                Column::new("Your role"),
                Column::num("Images"),
                Column::new("Stored"),
                Column::num("Hit ratio, 24 h"),
                Column::num("Pulls, 24 h"),
                Column::new("Last pull"),
            ], html! { @for row in rows { (row) } }))
        }
    }
}

fn row(visitor: &Visitor, group: &Group, sizes: &KnownTotals, traffic: &[(Hour, Traffic)]) -> Markup {
    let (now, day) = (visitor.caller.now, chart::of_day(traffic, visitor.caller.now));
    let totals = sizes.of(group.id);
    let is_on = visitor.caller.state.switched_off(&visitor.caller.directory, group.id).is_none();
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                div.name { a href=(address::of_group(group.path.as_str())) { (group_words(group.path.as_str())) } }
                @if !is_on { " " span.badge { "Switched off" } }
            }
            td role="cell" data-label="Your role" { (role_of(visitor, group)) }
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

fn role_of(visitor: &Visitor, group: &Group) -> &'static str {
    visitor.authority().own_level(group.id).map_or("Administrator", AccessLevel::name)
}
