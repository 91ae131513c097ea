//! Changes of the images that a group has cached, for its owners: what the API and the console carry out. An image is
//! named as it is pulled, such as `alpine:3.22`. The caller's right is decided again at the change, and each change is
//! logged with its caller.

use super::caller::{Caller, Right, owner_of};
use super::error::ApiError;
use super::image_view as view;
use super::images::check_switched_on;
use crate::actors::images::{ImageQuery, Pinned, ShownImage};
use crate::domain::id::GroupId;
use crate::domain::image_path::ImageName;
use crate::domain::reference::Reference;

const TOO_MUCH_PINNED: &str = "The pinned images of all groups would take more than half of the maximum size of the cache \
                               (storage.max_bytes): unpin others first";

/// Maximum number of images of a digest that are examined for tags.
const MAX_TAGS_OF_DIGEST: usize = 20;

/// Has the registry confirm what a tag stands for.
///
/// # Errors
/// The caller is no owner, there is no such image, or the registry does not confirm it.
pub(in crate::http) async fn refresh(caller: &Caller, group: GroupId, image: &str) -> Result<(), ApiError> {
    let (group, path) = permitted(caller, group)?;
    for found in find(caller, group, image).await? {
        check_account(caller, group, &found)?;
        caller.log_image("image refreshed", (group, &path), &view::name(&found));
        caller.state.images.refresh(&found.image).await?;
    }
    Ok(())
}

/// Pins an image, or ends that.
///
/// # Errors
/// The caller is no owner, there is no such image, or the pinned images would take too much of the cache.
pub(in crate::http) async fn pin(caller: &Caller, group: GroupId, image: &str, pinned: bool) -> Result<(), ApiError> {
    let (group, path) = permitted(caller, group)?;
    for found in find(caller, group, image).await? {
        match caller.state.images.pin(&found.image, pinned).await? {
            Pinned::Done => {
                let what = if pinned { "image pinned" } else { "image unpinned" };
                caller.log_image(what, (group, &path), &view::name(&found));
            }
            Pinned::NotThere => return Err(ApiError::NotFound("Image")),
            Pinned::TooMuch => return Err(ApiError::Refused(TOO_MUCH_PINNED)),
        }
    }
    Ok(())
}

/// Deletes an image. The next pull downloads it again.
///
/// # Errors
/// The caller is no owner, or there is no such image.
pub(in crate::http) async fn delete(caller: &Caller, group: GroupId, image: &str) -> Result<(), ApiError> {
    let (group, path) = permitted(caller, group)?;
    for found in find(caller, group, image).await? {
        caller.log_image("image deleted", (group, &path), &view::name(&found));
        caller.state.images.remove(&found.image).await?;
    }
    Ok(())
}

/// Starts to remove all that a group has cached.
///
/// # Errors
/// The caller is no owner.
pub(in crate::http) async fn clear(caller: &Caller, group: GroupId) -> Result<(), ApiError> {
    let own = caller.may(owner_of(group))?;
    caller.purge(own).await
}

/// Returns the group that a request names, by its number or its path, if the caller may change what it has cached.
pub(super) fn named(caller: &Caller, group: &str) -> Result<GroupId, ApiError> {
    Ok(caller.authority().group(group, Right::Own)?.id)
}

/// Returns true if there is no such image.
pub(in crate::http) fn is_missing(error: &ApiError) -> bool {
    matches!(error, ApiError::NotFound("Image"))
}

fn permitted(caller: &Caller, group: GroupId) -> Result<(GroupId, String), ApiError> {
    let own = caller.may(owner_of(group))?;
    caller.decide_again(own)
}

/// Returns a group's image of this name, once for each account with which it was pulled; at least one. Fails for the
/// digest of a tag with a sentence that names the tag.
pub(in crate::http) async fn find(caller: &Caller, group: GroupId, name: &str) -> Result<Vec<ShownImage>, ApiError> {
    let ImageName { upstream, repository, reference } = ImageName::parse(name, &caller.state.upstreams.load())
        .map_err(|error| ApiError::Parameter(format!("'{name}' is not an image: {error}")))?;
    let images = &caller.state.images;
    let found = images.find(group, (upstream.clone(), repository.clone(), reference.clone())).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let Reference::Digest(digest) = reference else { return Err(ApiError::NotFound("Image")) };
    let is_of_repository =
        |one: &ShownImage| one.image.key.origin.upstream == upstream && one.image.key.origin.repository == repository;
    let of_digest = ImageQuery { search: Some(digest.to_string()), limit: MAX_TAGS_OF_DIGEST, ..ImageQuery::default() };
    let tagged = images.list(group, of_digest).await?.images.into_iter().filter(is_of_repository);
    let names: Vec<String> = tagged.map(|one| view::name(&one)).collect();
    if names.is_empty() { Err(ApiError::NotFound("Image")) } else { Err(ApiError::ByTag(names.join(" and "))) }
}

/// Fails if the group would not pull this image with the same account now, or may not pull at all.
fn check_account(caller: &Caller, group: GroupId, found: &ShownImage) -> Result<(), ApiError> {
    let directory = caller.state.identities.directory();
    let group = directory.group(group).ok_or(ApiError::NotFound("Group"))?;
    check_switched_on(caller, &directory, group.id)?;
    let origin = &found.image.key.origin;
    let upstreams = caller.state.upstreams.load();
    if upstreams.origin(origin.upstream.clone(), origin.repository.clone(), &group.path) != *origin {
        return Err(ApiError::Refused(
            "The image was pulled with another account than the group has now; pull it again",
        ));
    }
    Ok(())
}
