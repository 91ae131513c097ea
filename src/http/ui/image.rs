//! The page of one image: how to pull it, its state and figures, and the history of its tag. Its owner pins and
//! refreshes it here.

use actix_web::HttpResponse;
use jiff::Timestamp;
use maud::{Markup, html};

use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::formatting::{minute, number, size, time};
use super::image_parts;
use super::image_pulls;
use super::image_row::{changes, delete_address, pinned, state};
use super::page;
use super::parts::{code, copy_button, crumbs, image_prefix, image_words, short};
use super::table::{self, Column};
use super::visitor::Visitor;
use crate::actors::images::{CachedImage, Earlier, ImageParts, ShownImage};
use crate::domain::digest::Digest;
use crate::domain::group::Group;
use crate::domain::reference::Reference;
use crate::http::api::{ApiError, image_changes};
use crate::http::query::value_in;

/// Shows the page.
pub(super) async fn show(visitor: &Visitor, path: &str, name: &str, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.group(path)?;
    let found = find(visitor, &group, name).await?;
    let shown = &found[0];
    let earlier = visitor.caller.state.images.earlier(&shown.image).await;
    let earlier = earlier.map_err(|error| visitor.refused(&error.into()))?;
    let parts = visitor.caller.state.images.parts(&shown.image).await;
    let parts = parts.map_err(|error| visitor.refused(&error.into()))?;
    let (origin, reference) = (&shown.image.key.origin, &shown.image.key.reference);
    let name = origin.name_of(reference);
    let pullers = if visitor.owns(&group) {
        image_pulls::show(visitor, &group, &name).await?
    } else {
        html! {}
    };
    let prefix = format!("{}{}", image_prefix(visitor, &group), origin.image_name());
    let content = html! {
        (crumbs(visitor, &group, Some(&name)))
        div.head {
            h1 { (image_words(origin, reference)) (pinned(shown.image.pinned)) }
            @if visitor.owns(&group) {
                div.actions {
                    (changes(visitor, &group, shown))
                    a.button.bad href=(delete_address(&group, &name)) { "Delete…" }
                }
            }
        }
        p.soft {
            "From " (origin.upstream) ", cached for "
            a href=(address::of_group(group.path.as_str())) { (group.path) }
        }
        (pulls(visitor, &group, shown))
        (facts(visitor, &group, &found, &parts))
        (image_parts::show(&parts, &prefix, &value_in(query, "platform").unwrap_or_default()))
        @if let Reference::Tag(_) = reference { (history(visitor, &group, shown, &earlier)) }
        (pullers)
    };
    Ok(page::show(&visitor.frame(), &format!("{name} in {}", group.path), &content))
}

const MOVED: &str = "The tag stands for another image since then. Its history has what it stood for before.";

/// Carries out a form of the page, and redirects back to it.
pub(super) async fn change(form: &Form, path: &str, name: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let caller = &visitor.caller;
    let (changed, done) = match form.value("do") {
        Some("pin") => {
            let pinned = image_changes::pin(caller, group.id, name, true).await;
            (pinned, "Pinned: the image is kept, whatever is evicted.")
        }
        Some("unpin") => (image_changes::pin(caller, group.id, name, false).await, "Unpinned."),
        Some("refresh") => {
            let refreshed = image_changes::refresh(caller, group.id, name).await;
            let is_moved = refreshed.as_ref().is_ok_and(|(before, after)| before.image.digest != after.image.digest);
            (refreshed.map(drop), if is_moved { MOVED } else { "The registry has confirmed the tag." })
        }
        _ => return Err(visitor.fault(Kind::Invalid("The form does not say what to do.".to_owned()))),
    };
    changed.map_err(|error| fault(visitor, &group, name, &error))?;
    Ok(visitor.done(done, &address::of_image(group.path.as_str(), name)).await)
}

/// Returns the group's image of this name, once for each account with which it was pulled; at least one.
pub(super) async fn find(visitor: &Visitor, group: &Group, name: &str) -> Result<Vec<ShownImage>, Fault> {
    let found = image_changes::find(&visitor.caller, group.id, name).await;
    found.map_err(|error| fault(visitor, group, name, &error))
}

fn fault(visitor: &Visitor, group: &Group, name: &str, error: &ApiError) -> Fault {
    if image_changes::is_missing(error) {
        visitor.fault(Kind::NoImage { path: group.path.to_string(), image: name.to_owned() })
    } else {
        visitor.refused(error)
    }
}

fn pulls(visitor: &Visitor, group: &Group, ShownImage { image, .. }: &ShownImage) -> Markup {
    let (prefix, name) = (image_prefix(visitor, group), image.key.origin.image_name());
    let by_digest = format!("docker pull {prefix}{name}@{}", image.digest);
    html! {
        section aria-labelledby="pull" {
            h2.unseen #pull { "Pull it" }
            @if let Reference::Tag(tag) = &image.key.reference {
                (code("by-tag", "By tag: what the tag means when it is pulled",
                    &format!("docker pull {prefix}{name}:{tag}")))
            }
            (code("by-digest", "By digest: this very image, for ever", &by_digest))
        }
    }
}

fn facts(visitor: &Visitor, group: &Group, found: &[ShownImage], parts: &ImageParts) -> Markup {
    let (shown, now) = (&found[0], visitor.caller.now);
    let image = &shown.image;
    let accounts: Vec<&str> = found.iter().map(|one| one.image.key.origin.account.username()).collect();
    html! {
        section aria-labelledby="facts" {
            h2 #facts { "About this image" }
            dl.facts {
                dt { "State" } dd { (state(visitor, group, shown)) }
                dt { "Digest" }
                dd { code { (image.digest) } " " (copy_button(&image.digest.to_string(), "Copy the digest")) }
                dt { "Kind" }
                dd { (kind(image, parts)) @if !parts.media_type.is_empty() { span.under.mono { (parts.media_type) } } }
                dt { "Stored" } dd { (size(image.size)) ", of all platforms that were pulled" }
                dt { "Fetched as" }
                dd {
                    @if accounts.iter().all(|name| name.is_empty()) {
                        "nobody: without an account"
                    } @else {
                        (accounts.join(", "))
                    }
                }
                dt { "Cached" } dd { (minute(image.cached_at)) " UTC" }
                @if let Some(at) = image.checked_at {
                    dt { "Confirmed" } dd { (time(at, now)) " by " (image.key.origin.upstream) }
                }
                dt { "Last pulled" } dd { (time(image.last_pulled_at, now)) }
                dt { "Pulls" } dd { (number(image.pulls)) }
            }
        }
    }
}

/// Returns the kind, an image or an index, with the platforms.
fn kind(image: &CachedImage, parts: &ImageParts) -> String {
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    let is_index = parts.platforms.first().is_none_or(|part| part.digest != image.digest);
    match (is_index && !parts.media_type.is_empty(), &platforms[..]) {
        (true, []) => "Index, none of whose platforms was pulled".to_owned(),
        (true, all) => format!("Index, of which was pulled: {}", all.join(", ")),
        (false, [platform]) => format!("Image for {platform}"),
        (false, _) => "Image for a platform that is not known".to_owned(),
    }
}

fn history(visitor: &Visitor, group: &Group, shown: &ShownImage, earlier: &[Earlier]) -> Markup {
    let image = &shown.image;
    let present = (image.digest, image.cached_at, true);
    let before = earlier.iter().rev().map(|one| (one.digest, one.cached_at, false));
    html! {
        section aria-labelledby="history" {
            h2 #history { "Tag history" }
            p.soft {
                "A line for each time this group pulled the tag and got another image than before. Times are UTC."
            }
            (table::show("History of the tag", &[
                Column::main("Since"),
                Column::new("Digest"),
            ], html! {
                @for (digest, since, is_present) in std::iter::once(present).chain(before) {
                    (line(visitor, group, shown, (&digest, since, is_present)))
                }
            }))
        }
    }
}

fn line(
    visitor: &Visitor,
    group: &Group,
    shown: &ShownImage,
    (digest, since, is_present): (&Digest, Timestamp, bool),
) -> Markup {
    let name = format!("{}{}@{digest}", image_prefix(visitor, group), shown.image.key.origin.image_name());
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { (minute(since)) @if is_present { " " span.badge { "Now" } } }
            td.two role="cell" data-label="Digest" {
                span.pair {
                    (short(digest)) (copy_button(&name, &format!("Copy the name with the digest {}", short(digest))))
                }
            }
        }
    }
}
