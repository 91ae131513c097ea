//! The audit trail as pages: of a group for its owners, of the whole service for administrators. The newest events come
//! first.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::audit_filter::Typed;
use super::audit_values::{change, event_words};
use super::fault::Fault;
use super::formatting::number;
use super::page;
use super::pages::{PER_PAGE, links};
use super::parts::{admin_tabs, top};
use super::principal::deploy_token;
use super::problem::Problem;
use super::table::{self, Column};
use super::visitor::Visitor;
use crate::domain::audit::query::{EntityFilter, EventPart, EventQuery};
use crate::domain::audit::{Author, Event, Who};
use crate::domain::id::EventId;
use crate::http::query::value_in;

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
    let (typed, with_group) = (Typed::of(query), entity.is_none());
    match wanted(visitor, entity, &typed, query) {
        Ok(wanted) => {
            let (from, caller) = (wanted.from, &visitor.caller);
            let found = caller.state.audit.events(caller.user.id, wanted).await;
            let found = found.map_err(|error| visitor.refused(&error.into()))?;
            let confirmed = caller.state.identities.newest_confirmed().await;
            confirmed.map_err(|error| visitor.refused(&error.into()))?;
            Ok((StatusCode::OK, shown(visitor, (&typed, with_group), from, Some(&found), None)))
        }
        Err(problem) => Ok((StatusCode::BAD_REQUEST, shown(visitor, (&typed, with_group), None, None, Some(&problem)))),
    }
}

/// Returns the request for the events that the query of the address wants.
fn wanted(visitor: &Visitor, entity: Option<EntityFilter>, typed: &Typed, query: &str) -> Result<EventQuery, Problem> {
    let filter = typed.filter(visitor, entity)?;
    let before = value_in(query, "before").filter(|before| !before.is_empty());
    let from = before.map(|before| before.parse().map(EventId)).transpose();
    let from = from.map_err(|_| Problem::of_form("The address names no event before which others would be"))?;
    Ok(EventQuery { filter, ascending: false, from, skip: 0, limit: PER_PAGE, counted: false })
}

fn shown(
    visitor: &Visitor,
    (typed, with_group): (&Typed, bool),
    from: Option<EventId>,
    found: Option<&EventPart>,
    problem: Option<&Problem>,
) -> Markup {
    html! {
        section aria-labelledby="list" {
            h2.unseen #list { "Events" }
            (typed.form(with_group, problem))
            @if let Some(problem) = problem { (problem.note()) }
            @if let Some(found) = found {
                @if found.events.is_empty() {
                    p {
                        "Nothing is recorded"
                        @if !typed.is_empty() { " that fits" } @if from.is_some() { " before that" } "."
                    }
                } @else {
                    (table(visitor, found))
                }
                (pages(found, from.is_some(), typed))
            }
            p.hint {
                "Changes, refusals and sign-ins. Refusals that are alike are one event a minute, which is written when
                the minute has ended. How long events are kept is a setting of the service."
            }
        }
    }
}

fn pages(found: &EventPart, has_newer: bool, typed: &Typed) -> Markup {
    let last = found.events.last().filter(|_| found.more).map(|(id, _)| id.0.to_string());
    let newest = has_newer.then(|| ("Newest", typed.address("")));
    links(newest, None, last.map(|last| ("Older", typed.address(&last))))
}

fn table(visitor: &Visitor, found: &EventPart) -> Markup {
    html! {
        (table::show("Audit log", &[
            Column::new("When, UTC").sorted(Some("descending")),
            Column::new("Who and from where"),
            Column::new("What"),
            Column::new("Before → after"),
        ], html! { @for (id, event) in &found.events { (row(visitor, *id, event)) } }))
    }
}

fn row(visitor: &Visitor, id: EventId, event: &Event) -> Markup {
    let at = recorded_at(id, event);
    html! {
        tr role="row" {
            th.stamp role="rowheader" scope="row" {
                time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) {
                    (at.strftime("%Y-%m-%d")) span.under { (at.strftime("%H:%M:%S")) }
                }
            }
            td.across role="cell" { b { (name(visitor, &event.author)) } span.under { (source(&event.author)) } }
            td.across role="cell" {
                // The words of a change are the same for all of its objects; the name is about this one.
                (event_words(&event.name))
                @if !event.target.name.is_empty() { ": " b { (event.target.name) } }
                (times(event))
                @if let Some(failure) = &event.failure { span.under { (failure) } }
            }
            td.across role="cell" {
                @for change_of_field in &event.changes { (change(change_of_field)) }
                @if event.left_out > 0 { div { "and " (number(event.left_out as u64)) " more objects" } }
            }
        }
    }
}

/// Returns the time by which an event has its place in the list: of a sum, that at which it was written.
fn recorded_at(id: EventId, event: &Event) -> Timestamp {
    let written = i64::try_from(id.0).ok().and_then(|number| Timestamp::from_microsecond(number).ok());
    event.sum.and(written).unwrap_or(event.at)
}

/// Shows how often something happened that is summed up, and when.
fn times(event: &Event) -> Markup {
    let clock = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    html! {
        @if let Some(sum) = event.sum {
            @if sum.count > 1 { ", " (number(sum.count)) " times" }
            span.under {
                @if clock(event.at) == clock(sum.last) { "at " (clock(sum.last)) }
                @else { "from " (clock(event.at)) " to " (clock(sum.last)) }
            }
        }
    }
}

/// Returns the name of an author. A deploy token has the user name that its owner chose, which may be that of a user.
fn name<'a>(visitor: &Visitor, author: &'a Author) -> Cow<'a, str> {
    match author.who {
        Who::User(_) => Cow::Borrowed(&author.name),
        Who::DeployToken => deploy_token(visitor, author.token, author.token_name.as_deref()).into(),
        Who::Nobody => "a stranger".into(),
        Who::Service => "the service".into(),
        Who::Operator => "an operator on the machine".into(),
    }
}

/// Returns the credential and the address of an author.
fn source(author: &Author) -> String {
    let token = match (author.who, &author.token_name) {
        (Who::DeployToken, _) => Some(format!("user name {}", author.name)),
        (_, Some(name)) => Some(format!("token {name}")),
        (_, None) => None,
    };
    let address = author.address.map(|address| address.to_string());
    [token, address].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
