//! The confirmation before the cache of a group is cleared, for which the group's path has to be typed, and its start.
//! Pinned images stay, unless the form says otherwise.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::Fault;
use super::fields::{Choice, Field, FieldKind};
use super::form::Form;
use super::formatting::{number, number_of, size};
use super::page;
use super::parts::{crumbs, token_field};
use super::problem::Problem;
use super::refetch::Unfetchable;
use super::visitor::Visitor;
use crate::actors::images::{GroupTotals, ImageQuery, ShownImage, StateFilter};
use crate::domain::group::Group;
use crate::http::api::image_changes;

/// Name of the field that says that pinned images go, too.
const PINNED: &str = "pinned";

/// Maximum number of images of a group of which each is looked at. Of more, only those that are stale are.
const MAX_READ: u64 = 2_000;

/// The fields of the form as they were typed.
#[derive(Default)]
struct Typed<'a> {
    path: &'a str,
    with_pinned: bool,
}

/// Cached content of the group, as far as it is known.
struct Cached {
    totals: Option<GroupTotals>,
    /// Number of pinned images, and of their bytes.
    pinned: (u64, u64),
    unfetchable: Unfetchable,
}

/// Shows what goes.
pub(super) async fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let content = content(visitor, &group, &Typed::default(), None).await?;
    Ok(page::show(&visitor.frame(), "Clear the cache", &content))
}

/// Starts to clear the cache, if the path is right, and leads to the page of the group.
pub(super) async fn clear(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let typed =
        Typed { path: form.value("path").unwrap_or_default().trim(), with_pinned: form.value(PINNED).is_some() };
    if typed.path != group.path.as_str() {
        let problem = Problem::at_field("path", "is not that of this group");
        let content = content(visitor, &group, &typed, Some(&problem)).await?;
        return Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "Clear the cache", &content));
    }
    let has_pinned =
        !list(visitor, &group, ImageQuery { pinned: Some(true), ..ImageQuery::default() }).await?.is_empty();
    let cleared = if has_pinned && !typed.with_pinned {
        image_changes::clear_unpinned(&visitor.caller, group.id).await
    } else {
        image_changes::clear(&visitor.caller, group.id).await
    };
    cleared.map_err(|error| visitor.refused(&error))?;
    let back = address::of_group(group.path.as_str());
    Ok(visitor.done("The cache is being cleared.", &back).await)
}

impl Cached {
    async fn read(visitor: &Visitor, group: &Group) -> Result<Self, Fault> {
        let images = &visitor.caller.state.images;
        let totals = images.known_totals().await.ok().and_then(|all| all.of(group.id));
        let pinned = list(visitor, group, ImageQuery { pinned: Some(true), ..ImageQuery::default() }).await?;
        let is_small = totals.is_some_and(|totals| totals.images <= MAX_READ);
        let only = if is_small { None } else { Some(images.only(StateFilter::Stale, None).await) };
        let all = list(visitor, group, ImageQuery { pinned: Some(false), only, ..ImageQuery::default() }).await?;
        let bytes = pinned.iter().map(|one| one.image.size).sum();
        let unfetchable = Unfetchable::of(visitor, &all).await;
        Ok(Self { totals, pinned: (pinned.len() as u64, bytes), unfetchable })
    }

    /// Shows what goes.
    fn goes(&self) -> Markup {
        let (pinned, _) = self.pinned;
        html! {
            @match self.totals {
                Some(totals) if pinned == 0 => { b { (number_of(totals.images, "image")) ", " (size(totals.bytes)) } "." },
                Some(totals) => {
                    b { (number_of(totals.images.saturating_sub(pinned), "image")) }
                    ", and what only they have of the " (size(totals.bytes)) " that are stored."
                },
                None => { b { "All images" @if pinned > 0 { " that are not pinned" } "." } },
            }
            " Layers that other groups have pulled, too, stay on the disk."
        }
    }

    /// Shows what stays.
    fn stays(&self) -> Markup {
        let (pinned, _) = self.pinned;
        html! {
            @if pinned > 0 { (number_of(pinned, "pinned image")) ", the " } @else { "The " }
            "members, tokens and settings of the group"
        }
    }

    /// Shows the choice that pinned images go, too, if there are any.
    fn choice(&self, typed: &Typed<'_>) -> Markup {
        let (pinned, bytes) = self.pinned;
        let label = match pinned {
            1 => "The pinned image, too".to_owned(),
            _ => format!("The {} pinned images, too", number(pinned)),
        };
        html! {
            @if pinned > 0 {
                (Choice::checkbox(PINNED, (PINNED, "too"), &label).chosen(typed.with_pinned).show(size(bytes)))
            }
        }
    }
}

/// Returns all images of a group that are wanted.
async fn list(visitor: &Visitor, group: &Group, query: ImageQuery) -> Result<Vec<ShownImage>, Fault> {
    let found = visitor.caller.state.images.list(group.id, ImageQuery { limit: usize::MAX, ..query }).await;
    found.map(|page| page.images).map_err(|error| visitor.refused(&error.into()))
}

/// Shows the form with what was typed.
async fn content(
    visitor: &Visitor,
    group: &Group,
    typed: &Typed<'_>,
    problem: Option<&Problem>,
) -> Result<Markup, Fault> {
    let cached = Cached::read(visitor, group).await?;
    let base = address::of_group(group.path.as_str());
    let label = format!("To confirm, type the group’s path: {}", group.path);
    Ok(html! {
        (crumbs(visitor, group, Some("Clear the cache")))
        h1 { "Clear the cache of " (group.path) "?" }
        section aria-labelledby="goes" {
            h2.unseen #goes { "What goes" }
            dl.facts {
                dt { "Goes" } dd { (cached.goes()) }
                dt { "Stays" } dd { (cached.stays()) }
                dt { "Then" }
                dd { "The next pull of each image fetches it again from its registry, if that has it still." }
            }
            (cached.unfetchable.note("Pin them to keep them."))
        }
        section aria-labelledby="sure" {
            h2.unseen #sure { "Confirm" }
            form.stack method="post" action={ (base) "/clear" } {
                (token_field(visitor))
                (cached.choice(typed))
                (Field::new("path", &label).kind(FieldKind::Identifier).required().value(typed.path).show(problem))
                div.actions { button.danger { "Clear the cache" } a href=(base) { "Keep everything" } }
            }
        }
    })
}
