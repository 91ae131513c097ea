//! The confirmation before the cache of a group is cleared, for which the group's path has to be typed, and its start.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::Fault;
use super::fields::{Field, FieldKind};
use super::form::Form;
use super::formatting::{number_of, size};
use super::page;
use super::parts::{crumbs, token_field};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::http::api::image_changes;

/// Shows what goes.
pub(super) async fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    Ok(page::show(&visitor.frame(), "Clear the cache", &content(visitor, &group, "", None).await))
}

/// Starts to clear the cache, if the path is right, and leads to the page of the group.
pub(super) async fn clear(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let typed = form.value("path").unwrap_or_default().trim();
    if typed != group.path.as_str() {
        let problem = Problem::at_field("path", "is not that of this group");
        let content = content(visitor, &group, typed, Some(&problem)).await;
        return Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Clear the cache", &content));
    }
    image_changes::clear(&visitor.caller, group.id).await.map_err(|error| visitor.refused(&error))?;
    let back = address::of_group(group.path.as_str());
    Ok(visitor.done("The cache is being cleared.", &back).await)
}

/// Shows the form with what was typed.
async fn content(visitor: &Visitor, group: &Group, typed: &str, problem: Option<&Problem>) -> Markup {
    let totals = visitor.caller.state.images.known_totals().await.ok().and_then(|all| all.of(group.id));
    let base = address::of_group(group.path.as_str());
    let label = format!("To confirm, type the group’s path: {}", group.path);
    html! {
        (crumbs(visitor, group, Some("Clear the cache")))
        h1 { "Clear the cache of " (group.path) "?" }
        section aria-labelledby="goes" {
            h2.unseen #goes { "What goes" }
            dl.facts {
                dt { "Goes" }
                dd {
                    @match totals {
                        Some(totals) => { b { (number_of(totals.images, "image")) ", " (size(totals.bytes)) } },
                        None => { b { "All images" } },
                    }
                    ", also those that are pinned. Layers that other groups have pulled, too, stay on the disk."
                }
                dt { "Stays" } dd { "The members, tokens and settings of the group" }
                dt { "Then" }
                dd { "The next pull of each image fetches it again from its registry, if that has it still." }
            }
        }
        section aria-labelledby="sure" {
            h2.unseen #sure { "Confirm" }
            form.stack method="post" action={ (base) "/clear" } {
                (token_field(visitor))
                (Field::new("path", &label).kind(FieldKind::Identifier).required().value(typed).show(problem))
                div.actions { button.danger { "Clear the cache" } a href=(base) { "Keep everything" } }
            }
        }
    }
}
