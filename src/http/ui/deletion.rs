//! The confirmation before images are deleted, one or several, and their deletion.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use maud::html;

use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::formatting::{number_of, size};
use super::page;
use super::parts::{crumbs, token_field};
use super::refetch::Unfetchable;
use super::visitor::Visitor;
use crate::actors::images::ShownImage;
use crate::domain::group::Group;
use crate::http::api::image_changes;

/// Maximum number of images that are deleted at once: as many as a page of the list has.
const MAX_IMAGES: usize = 20;

/// Shows what goes.
pub(super) async fn show(visitor: &Visitor, path: &str, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let names: Vec<String> = pairs.into_iter().filter(|(key, _)| key == "image").map(|(_, name)| name).collect();
    check(visitor, names.len())?;
    let (found, gone) = find(visitor, &group, &names).await?;
    let base = address::of_group(group.path.as_str());
    let all: Vec<ShownImage> = found.values().flatten().cloned().collect();
    let unfetchable = Unfetchable::of(visitor, &all).await;
    let pinned = found.iter().filter(|(_, images)| images.iter().any(|one| one.image.pinned)).count();
    let content = html! {
        (crumbs(visitor, &group, Some("Delete")))
        h1 { "Delete " (number_of(found.len() as u64, "image")) " from the cache of " (group.path) "?" }
        section aria-labelledby="goes" {
            h2.unseen #goes { "What goes" }
            dl.facts {
                dt { "Goes" }
                dd {
                    ul { @for (name, images) in &found {
                        li { b { (name) } ", " (size(images.iter().map(|one| one.image.size).sum())) }
                    } }
                    @if pinned > 0 { p { "Pinned are " (pinned) " of " (found.len()) ": the pins go, too." } }
                }
                dt { "Stays" } dd { "Layers that other images of the group, or other groups, have pulled, too" }
                dt { "Then" }
                dd { "The next pull of each image fetches it again from its registry, if that has it still." }
            }
            @if !gone.is_empty() { p.hint { "Not cached any more: " (gone.join(", ")) "." } }
            (unfetchable.note("Keep them until then, if somebody needs them."))
        }
        form.stack method="post" action={ (base) "/delete" } {
            (token_field(visitor))
            @for (name, _) in &found { input type="hidden" name="image" value=(name); }
            div.actions {
                button.danger { "Delete " (number_of(found.len() as u64, "image")) } a href=(base) { "Keep everything" }
            }
        }
    };
    Ok(page::show(&visitor.frame(), "Delete images", &content))
}

/// Returns the images with these names, and the names of those that are not cached any more. Fails if all are gone.
async fn find(
    visitor: &Visitor,
    group: &Group,
    names: &[String],
) -> Result<(BTreeMap<String, Vec<ShownImage>>, Vec<String>), Fault> {
    let (mut found, mut gone) = (BTreeMap::new(), Vec::new());
    for name in names {
        match image_changes::find(&visitor.caller, group.id, name).await {
            Err(error) if image_changes::is_missing(&error) => gone.push(name.clone()),
            Err(error) => return Err(visitor.refused(&error)),
            Ok(images) => {
                found.insert(images[0].image.key.origin.name_of(&images[0].image.key.reference), images);
            }
        }
    }
    match gone.first() {
        Some(name) if found.is_empty() => {
            Err(visitor.fault(Kind::NoImage { path: group.path.to_string(), image: name.clone() }))
        }
        _ => Ok((found, gone)),
    }
}

/// Deletes the images that the form names, and leads to the list.
pub(super) async fn delete(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let names: BTreeSet<&str> = form.values("image").collect();
    check(visitor, names.len())?;
    // All names are checked first, so that an invalid one changes nothing.
    for name in &names {
        match image_changes::find(&visitor.caller, group.id, name).await {
            Err(error) if !image_changes::is_missing(&error) => return Err(visitor.refused(&error)),
            _ => {}
        }
    }
    let (mut deleted, mut gone) = (0, 0);
    for name in names {
        match image_changes::delete(&visitor.caller, group.id, name).await {
            Ok(()) => deleted += 1,
            // Somebody else has deleted it meanwhile.
            Err(error) if image_changes::is_missing(&error) => gone += 1,
            Err(error) => return Err(visitor.refused(&error)),
        }
    }
    let sentence = match (deleted, gone) {
        (0, _) => format!("Not cached any more: {}.", number_of(gone, "image")),
        (_, 0) => format!("Deleted: {}.", number_of(deleted, "image")),
        _ => format!("Deleted: {}. Not cached any more: {gone}.", number_of(deleted, "image")),
    };
    let back = address::of_group(group.path.as_str());
    Ok(visitor.done(&sentence, &back).await)
}

fn check(visitor: &Visitor, number: usize) -> Result<(), Fault> {
    let invalid = |sentence: String| Err(visitor.fault(Kind::Invalid(sentence)));
    match number {
        0 => invalid("No image was chosen.".to_owned()),
        1..=MAX_IMAGES => Ok(()),
        _ => invalid(format!("At most {MAX_IMAGES} images can be deleted at once.")),
    }
}
