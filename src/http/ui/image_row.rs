//! One image in the list of a group: names to copy, figures, state, and for owners the menu.

use jiff::Timestamp;
use maud::{Markup, html};

use super::address;
use super::formatting::{number, size, time};
use super::icons::icon;
use super::parts::{copy_button, image_prefix, image_words, short, token_field};
use super::visitor::Visitor;
use crate::actors::images::{ImageState, ShownImage};
use crate::domain::group::Group;
use crate::domain::platform::Platform;
use crate::domain::policy;
use crate::domain::reference::Reference;

/// Returns the row of an image. `number` differs from those of all other rows of the page.
pub(super) fn show(visitor: &Visitor, group: &Group, shown: &ShownImage, number_of_row: usize) -> Markup {
    let (image, now) = (&shown.image, visitor.caller.now);
    let state = state(visitor, group, shown);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { (names(visitor, group, shown)) }
            td role="cell" data-label="Platforms" { (platforms(&image.platforms)) }
            td.num role="cell" data-label="Size" { (size(image.size)) }
            td role="cell" data-label="Cached" { (time(image.cached_at, now)) }
            td role="cell" data-label="Last pulled" { (time(image.last_pulled_at, now)) }
            td.num role="cell" data-label="Pulls" { (number(image.pulls)) }
            td role="cell" data-label="State" class=[(shown.state != ImageState::Fresh).then_some("across")] { (state) }
            td.act role="cell" { @if visitor.owns(group) { (menu(visitor, group, shown, number_of_row)) } }
        }
    }
}

fn names(visitor: &Visitor, group: &Group, ShownImage { image, .. }: &ShownImage) -> Markup {
    let (origin, reference) = (&image.key.origin, &image.key.reference);
    let (name, prefix) = (origin.name_of(reference), image_prefix(visitor, group));
    let by_digest = format!("{prefix}{}@{}", origin.image_name(), image.digest);
    let account = origin.account.username();
    let names = html! {
        div.name {
            a href=(address::of_image(group.path.as_str(), &name)) { (image_words(origin, reference)) }
            (copy_button(&format!("{prefix}{name}"), &format!("Copy the full name of {name}")))
            @if let Reference::Tag(_) = reference {
                small { (short(&image.digest)) (pinned(image.pinned)) }
                (copy_button(&by_digest, &format!("Copy {name} with its digest")))
            } @else if image.pinned {
                small { (pinned(true)) }
            }
            @if !account.is_empty() { small { "with the account " (account) } }
        }
    };
    html! {
        @if visitor.owns(group) {
            div.pick {
                input type="checkbox" name="image" value=(name) form="selection" aria-label={ "Choose " (name) };
                (names)
            }
        } @else {
            (names)
        }
    }
}

/// Shows that an image is pinned, if it is.
pub(super) fn pinned(is_pinned: bool) -> Markup {
    html! { @if is_pinned { " " span.badge { (icon("pin")) "Pinned" } } }
}

/// Shows platforms, those of Linux by their architecture alone.
fn platforms(platforms: &[Platform]) -> Markup {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(|name| name.strip_prefix("linux/").unwrap_or(name)).collect();
    html! { @if names.is_empty() { "–" } @else { (names.join(", ")) } }
}

/// Shows the state of an image, with the reason where it is not the normal one.
pub(super) fn state(visitor: &Visitor, group: &Group, shown: &ShownImage) -> Markup {
    let now = visitor.caller.now;
    let days = policy::unpulled_days(&visitor.caller.directory, group.id, visitor.caller.state.unpulled_days);
    if let Some(at) = shown.going_at(days, now) {
        return html! { div.state { (icon("going")) b { "Going" } span { (until(at, now)) ", unless pulled" } } };
    }
    let registry = &shown.image.key.origin.upstream;
    match &shown.state {
        ImageState::Fresh => html! { div.state.good { (icon("fresh")) b { "Fresh" } } },
        ImageState::Stale { because } => html! { div.state.warn { (icon("stale")) b { "Stale" } span { (because) } } },
        ImageState::Incomplete => html! {
            div.state { (icon("off")) b { "Incomplete" } span { "a pull fetches the rest from " (registry) } }
        },
        ImageState::Arriving { received, length } => html! {
            div.state {
                (icon("arriving")) b { "Arriving" }
                span { progress max=((*length).max(1)) value=(received) aria-label="Downloaded" { (size(*received)) } }
                span { span.fit { (size(*received)) " of " (size(*length)) } }
            }
        },
    }
}

fn until(at: Timestamp, now: Timestamp) -> String {
    let hours = at.duration_since(now).as_hours();
    match hours {
        ..1 => "within an hour".to_owned(),
        1..48 => format!("in {hours} h"),
        _ => format!("in {} days", hours / 24),
    }
}

fn menu(visitor: &Visitor, group: &Group, shown: &ShownImage, number: usize) -> Markup {
    let name = shown.image.key.origin.name_of(&shown.image.key.reference);
    let id = format!("menu-{number}");
    html! {
        button.tiny.dots type="button" popovertarget=(id) aria-label={ "Actions for " (name) } title="Actions" {
            (icon("dots"))
        }
        div.menu id=(id) popover {
            p { (name) }
            (changes(visitor, group, shown))
            a.bad href=(delete_address(group, &name)) { "Delete…" }
        }
    }
}

/// Shows the forms that pin and refresh an image.
pub(super) fn changes(visitor: &Visitor, group: &Group, ShownImage { image, .. }: &ShownImage) -> Markup {
    let (origin, reference) = (&image.key.origin, &image.key.reference);
    let action = address::of_image(group.path.as_str(), &origin.name_of(reference));
    let (wish, label) = if image.pinned { ("unpin", "Unpin") } else { ("pin", "Pin: keep it") };
    html! {
        form method="post" action=(action) { (token_field(visitor)) button name="do" value=(wish) { (label) } }
        @if let Reference::Tag(_) = reference {
            form method="post" action=(action) {
                (token_field(visitor))
                button name="do" value="refresh" { "Refresh: check " (origin.upstream) " now" }
            }
        }
    }
}

/// Returns the address of the page that asks for confirmation before an image is deleted.
pub(super) fn delete_address(group: &Group, image: &str) -> String {
    let query = serde_urlencoded::to_string([("image", image)]).unwrap_or_default();
    format!("{}/delete?{query}", address::of_group(group.path.as_str()))
}
