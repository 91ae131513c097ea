//! The confirmation before a group is deleted, for which its path has to be typed, and its deletion.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::Fault;
use super::fields::{Field, FieldKind};
use super::form::Form;
use super::formatting::{number_of, size};
use super::losses;
use super::page;
use super::parts::{crumbs_below, token_field};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::http::api::groups;

const TITLE: &str = "Delete a group";

/// Shows what goes.
pub(super) async fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let content = content(visitor, &group, "", None).await?;
    Ok(page::show(&visitor.frame(), TITLE, &content))
}

/// Deletes the group, if its path is right and what goes with it was confirmed, and leads to the groups.
pub(super) async fn delete(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let typed = form.value("path").unwrap_or_default().trim();
    let (status, problem) = if typed == group.path.as_str() {
        let mark = form.value(losses::FIELD).unwrap_or_default().to_owned();
        match groups::delete_confirmed(&visitor.caller, group.id, mark).await {
            Ok(()) => return Ok(visitor.done(&format!("The group {} was deleted.", group.path), "/").await),
            Err(error) => (StatusCode::CONFLICT, Problem::of(&error).ok_or_else(|| visitor.refused(&error))?),
        }
    } else {
        (StatusCode::BAD_REQUEST, Problem::at_field("path", "is not that of this group"))
    };
    let content = content(visitor, &group, typed, Some(&problem)).await?;
    Ok(page::respond(status, &visitor.frame(), TITLE, &content))
}

async fn content(visitor: &Visitor, group: &Group, typed: &str, problem: Option<&Problem>) -> Result<Markup, Fault> {
    let (lost, cached) = groups::deletion(&visitor.caller, group.id).await.map_err(|error| visitor.refused(&error))?;
    let settings = format!("{}/settings", address::of_group(group.path.as_str()));
    let label = format!("To confirm, type the group’s path: {}", group.path);
    Ok(html! {
        (crumbs_below(visitor, group, Some(("Settings", &settings)), Some("Delete")))
        h1 { "Delete the group " (group.path) "?" }
        @if let Some(problem) = problem { (problem.note()) }
        section aria-labelledby="goes" {
            h2.unseen #goes { "What goes" }
            dl.facts {
                dt { "Goes" } dd { "The group " (group.path) @if !lost.is_empty() { ", and with it:" } }
                (losses::facts(&lost))
                dt { "Cache" }
                dd {
                    @match cached {
                        Some(cached) => {
                            (number_of(cached.tags as u64, "tag")) ", " (size(cached.bytes))
                            ". Layers that other groups have pulled, too, stay on the disk."
                        },
                        None => "Everything that these groups have cached",
                    }
                }
                dt { "Stays" } dd { "Users, and what they have in other groups" }
                dt { "Then" }
                dd {
                    "Every pull through the group is refused at once, and pulls in progress end with their next "
                    "request. It cannot be undone. To stop pulls and keep the rest, "
                    a href=(settings) { "switch the group off" } "."
                }
            }
        }
        section aria-labelledby="sure" {
            h2.unseen #sure { "Confirm" }
            form.stack method="post" action={ (settings) "/delete" } {
                (token_field(visitor))
                (losses::field(&lost))
                (Field::new("path", &label).kind(FieldKind::Identifier).required().value(typed).show(problem))
                div.actions { button.danger { "Delete the group" } a href=(settings) { "Keep it" } }
            }
        }
    })
}
