//! The confirmation before the cache of a group is cleared, for which the group's path has to be typed, and its start.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::Fault;
use super::form::Form;
use super::page;
use super::parts::{crumbs, icon, token_field};
use super::visitor::Visitor;
use super::words::{number_of, size};
use crate::domain::group::Group;
use crate::http::api::image_changes;

/// Shows what goes.
pub(super) async fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    Ok(page::show(&visitor.frame(), "Clear the cache", &content(visitor, &group, None).await))
}

/// Starts to clear the cache, if the path is right, and leads to the page of the group.
pub(super) async fn clear(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let typed = form.value("path").unwrap_or_default().trim();
    if typed != group.path.as_str() {
        let content = content(visitor, &group, Some(typed)).await;
        return Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Clear the cache", &content));
    }
    image_changes::clear(&visitor.caller, group.id).await.map_err(|error| visitor.refused(&error))?;
    let back = address::of_group(group.path.as_str());
    Ok(visitor.done("The cache is being cleared.", &back))
}

/// Shows the form. `typed` is a path that was typed and is not that of the group.
async fn content(visitor: &Visitor, group: &Group, typed: Option<&str>) -> Markup {
    let totals = visitor.caller.state.images.totals().await.ok().flatten();
    let totals = totals.map(|all| all.get(&group.id).copied().unwrap_or_default());
    let base = address::of_group(group.path.as_str());
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
                div.field {
                    label for="path" { "To confirm, type the group’s path: " (group.path) }
                    @if typed.is_some() { p.error #path-error { (icon("bad")) "This is not the path of the group." } }
                    input #path name="path" autocomplete="off" autocapitalize="none" spellcheck="false" required
                        value=[typed] aria-invalid=[typed.map(|_| "true")]
                        aria-describedby=[typed.map(|_| "path-error")];
                }
                div.actions { button.danger { "Clear the cache" } a href=(base) { "Keep everything" } }
            }
        }
    }
}
