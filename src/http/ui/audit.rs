//! The audit trail as pages: of a group for its owners, of the whole service for administrators. The newest events come
//! first.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::fault::Fault;
use super::page;
use super::pages::{PER_PAGE, links, query_of};
use super::parts::{admin_tabs, top};
use super::problem::Problem;
use super::table::{self, Column};
use super::visitor::Visitor;
use super::words::number;
use crate::domain::audit::query::{AuthorFilter, EntityFilter, EventFilter, EventPart, EventQuery};
use crate::domain::audit::{Author, Event, FieldChange, Who};
use crate::domain::id::EventId;
use crate::http::query::value_in;

/// Maximum length of a user name that is searched for, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Shows the events of a group.
pub(super) async fn of_group(visitor: &Visitor, path: &str, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let (status, events) = section(visitor, Some(EntityFilter::Group(Some(group.id))), query).await?;
    let content = html! {
        (top(visitor, &group, "Audit", "audit").await)
        (events)
    };
    Ok(page::respond(status, &visitor.frame(), &format!("Audit of {}", group.path), &content))
}

/// Shows all events.
pub(super) async fn of_service(visitor: &Visitor, query: &str) -> Result<HttpResponse, Fault> {
    let (status, events) = section(visitor, None, query).await?;
    let content = html! {
        div.head { h1 { "Audit log" } }
        (admin_tabs(visitor, "/audit"))
        (events)
    };
    Ok(page::respond(status, &visitor.frame(), "Audit log", &content))
}

async fn section(visitor: &Visitor, entity: Option<EntityFilter>, query: &str) -> Result<(StatusCode, Markup), Fault> {
    let who = value_in(query, "who").unwrap_or_default().trim().to_owned();
    match wanted(entity, &who, query) {
        Ok(wanted) => {
            let (from, caller) = (wanted.from, &visitor.caller);
            let found = caller.state.audit.events(caller.user.id, wanted).await;
            let found = found.map_err(|error| visitor.refused(&error.into()))?;
            let confirmed = caller.state.identities.newest_confirmed().await;
            confirmed.map_err(|error| visitor.refused(&error.into()))?;
            Ok((StatusCode::OK, shown(&who, from, Some(&found), None)))
        }
        Err(problem) => Ok((StatusCode::BAD_REQUEST, shown(&who, None, None, Some(&problem)))),
    }
}

/// Returns the filter in the query of the address. A value that is not valid selects no events, not all.
fn wanted(entity: Option<EntityFilter>, who: &str, query: &str) -> Result<EventQuery, Problem> {
    if who.len() > MAX_NAME_BYTES {
        return Err(Problem::at_field("who", &format!("cannot be longer than {MAX_NAME_BYTES} bytes")));
    }
    let author = Some(who.to_owned()).filter(|who| !who.is_empty()).map(AuthorFilter::Name);
    let before = value_in(query, "before").filter(|before| !before.is_empty());
    let from = before.map(|before| before.parse().map(EventId)).transpose();
    let from = from.map_err(|_| Problem::of_form("The address names no event before which others would be"))?;
    let filter = EventFilter { entity, author, ..EventFilter::default() };
    Ok(EventQuery { filter, ascending: false, from, skip: 0, limit: PER_PAGE, counted: false })
}

fn shown(who: &str, from: Option<EventId>, found: Option<&EventPart>, problem: Option<&Problem>) -> Markup {
    html! {
        section aria-labelledby="list" {
            h2.unseen #list { "Events" }
            div.tools {
                form role="search" {
                    label.unseen for="who" { "User name" }
                    input #who name="who" type="search" placeholder="User name" autocapitalize="none" value=(who)
                        aria-invalid=[Problem::invalid(problem, "who")];
                    button { "Show" }
                }
            }
            @if let Some(problem) = problem { (problem.note()) }
            @if let Some(found) = found {
                @if found.events.is_empty() {
                    p {
                        "Nothing is recorded"
                        @if !who.is_empty() { " of " b { (who) } } @else if from.is_some() { " before that" } "."
                    }
                } @else {
                    (table(found))
                }
                (pages(found, from.is_some(), who))
            }
            p.hint {
                "Changes, refusals and sign-ins. Refusals that are alike are one event a minute. How long events are
                kept is a setting of the service."
            }
        }
    }
}

fn pages(found: &EventPart, has_newer: bool, who: &str) -> Markup {
    // An empty address is that of the present page.
    let to = |before: &str| Some(query_of(&[("who", who), ("before", before)])).filter(|to| !to.is_empty());
    let to = |before: &str| to(before).unwrap_or_else(|| "?".to_owned());
    let last = found.events.last().filter(|_| found.more).map(|(id, _)| id.0.to_string());
    links(has_newer.then(|| ("Newest", to(""))), None, last.map(|last| ("Older", to(&last))))
}

fn table(found: &EventPart) -> Markup {
    html! {
        (table::show("Audit log", &[
            Column::new("When, UTC").sorted(Some("descending")),
            Column::new("Who and from where"),
            Column::new("What"),
            Column::new("Before → after"),
        ], html! { @for (_, event) in &found.events { (row(event)) } }))
    }
}

fn row(event: &Event) -> Markup {
    let at = event.sum.map_or(event.at, |sum| sum.last);
    html! {
        tr role="row" {
            th.stamp role="rowheader" scope="row" {
                time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) {
                    (at.strftime("%Y-%m-%d")) span.under { (at.strftime("%H:%M:%S")) }
                }
            }
            td.across role="cell" { b { (name(&event.author)) } span.under { (source(&event.author)) } }
            td.across role="cell" {
                // The words of a change are the same for all of its objects; the name is about this one.
                (event.name.replace('_', " "))
                @if !event.target.name.is_empty() { ": " b { (event.target.name) } }
                @if let Some(sum) = event.sum.filter(|sum| sum.count > 1) { ", " (number(sum.count)) " times" }
                @if let Some(failure) = &event.failure { span.under { (failure) } }
            }
            td.across role="cell" {
                @for change in &event.changes { (change_of(change)) }
                @if event.left_out > 0 { div { "and " (number(event.left_out as u64)) " more objects" } }
            }
        }
    }
}

fn change_of(FieldChange { field, from, to }: &FieldChange) -> Markup {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    html! {
        div {
            (field) ": "
            @match (from, to) {
                (None, None) => "changed",
                _ => {
                    @if let Some(from) = from { del { (text(from)) } }
                    @if from.is_some() && to.is_some() { " → " }
                    @if let Some(to) = to { ins { (text(to)) } }
                },
            }
        }
    }
}

fn name(author: &Author) -> &str {
    match author.who {
        Who::User(_) | Who::DeployToken => &author.name,
        Who::Nobody => "a stranger",
        Who::Service => "the service",
        Who::Operator => "an operator on the machine",
    }
}

/// Returns the token and the address of an author.
fn source(author: &Author) -> String {
    let token = author.token_name.as_ref().map(|name| format!("token {name}"));
    let address = author.address.map(|address| address.to_string());
    [token, address].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
