//! Records of who pulled an image, on its page, for owners of the group: a line for each credential and day, with the
//! last addresses.

use std::borrow::Cow;

use maud::{Markup, html};

use super::fault::Fault;
use super::formatting::{day, number, number_of, time};
use super::principal::deploy_token;
use super::table::{self, Column};
use super::visitor::Visitor;
use crate::actors::images::ImagePulls;
use crate::domain::group::Group;
use crate::domain::id::CredentialId;
use crate::domain::pull_record::{Day, PullRecord, Puller};
use crate::http::api::pulls;

/// Maximum number of lines. The API and the subcommand show the others.
const LINES: usize = 50;

/// Shows who pulled the image with this name.
pub(super) async fn show(visitor: &Visitor, group: &Group, name: &str) -> Result<Markup, Fault> {
    let days = visitor.caller.state.pull_days;
    if days == 0 {
        return Ok(html! {});
    }
    let found = pulls::find(&visitor.caller, group.id, name, (0, LINES)).await;
    let found = found.map_err(|error| visitor.refused(&error))?;
    Ok(html! {
        section aria-labelledby="pullers" {
            h2 #pullers { "Who pulled it" }
            p.soft {
                "In the last " (number_of(u64::from(days), "day")) ", by this name: a line for each credential and day, in UTC. "
                "Only owners see this. A client that requests the digest after the tag is listed under the digest, too."
            }
            @if found.records.is_empty() { p { "Nobody." } } @else { (table(visitor, &found)) }
            (rest(group, name, &found))
        }
    })
}

fn table(visitor: &Visitor, found: &ImagePulls) -> Markup {
    html! {
        (table::show("Who pulled it", &[
            Column::main("Who"),
            Column::new("Day"),
            Column::num("Pulls"),
            Column::new("Last"),
            Column::new("From"),
        ], html! { @for (day, credential, record) in &found.records { (row(visitor, *day, *credential, record)) } }))
    }
}

fn row(visitor: &Visitor, on: Day, credential: Option<CredentialId>, record: &PullRecord) -> Markup {
    let is_valid = credential.is_none_or(|credential| pulls::is_valid(&visitor.caller, credential));
    let addresses: Vec<String> = record.addresses.iter().rev().map(ToString::to_string).collect();
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                b { (who(visitor, &record.puller)) }
                @if !is_valid { " " span.badge { "No longer valid" } }
                @if credential.is_some() {
                    span.under { (credential_of(&record.puller)) }
                }
            }
            td role="cell" data-label="Day" { (day(on.start())) }
            td.num role="cell" data-label="Pulls" { (number(record.count)) }
            td role="cell" data-label="Last" { (time(record.last, visitor.caller.now)) }
            td.two role="cell" data-label="From" {
                (addresses.join(", ")) @if record.more_addresses { " and others before" }
            }
        }
    }
}

fn who<'a>(visitor: &Visitor, puller: &'a Puller) -> Cow<'a, str> {
    if puller.is_deploy_token() {
        return deploy_token(visitor, puller.token, puller.token_name.as_deref()).into();
    }
    puller.name.as_deref().unwrap_or("Somebody without a login").into()
}

fn credential_of(puller: &Puller) -> String {
    match (&puller.token_name, &puller.name) {
        (_, Some(name)) if puller.is_deploy_token() => format!("User name {name}"),
        (Some(token), _) => format!("Token {token}"),
        (None, _) => "Password".to_owned(),
    }
}

/// Says what is not in the table.
fn rest(group: &Group, name: &str, found: &ImagePulls) -> Markup {
    html! {
        @if found.total > found.records.len() {
            p.hint {
                "These are the latest " (number(found.records.len() as u64)) " of " (number(found.total as u64)) " lines. All of them: "
                code { "dependency-proxy cache pulls --group " (group.path) " " (name) }
            }
        }
    }
}
