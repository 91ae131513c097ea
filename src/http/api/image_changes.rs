//! Changes of the images that a group has cached, for its owners: what the API and the console carry out. An image is
//! named as it is pulled, such as `alpine:3.22`. The caller's right is decided again at the change, and each change is
//! logged with its caller, and has an audit event.

use serde_json::Value;

use super::caller::{CacheChange, Caller, Right, owner_of};
use super::error::ApiError;
use super::image_view as view;
use super::images::check_switched_on;
use crate::actors::images::{ImageKey, ImageQuery, Pinned, ShownImage};
use crate::domain::audit::FieldChange;
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
        let name = view::name(&found);
        let mut change = CacheChange {
            name: "cached_image_refreshed",
            what: "image refreshed",
            group: (group, &path),
            image: Some(&name),
            changes: Vec::new(),
        };
        caller.log_image(change.what, change.group, &name);
        if let Err(error) = caller.state.images.refresh(&found.image).await {
            let error = error.into();
            caller.record_failure(&change, &error).await;
            return Err(error);
        }
        change.changes = digest_change(caller, &found).await;
        caller.record_cache(&change).await?;
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
        let name = view::name(&found);
        let (event, what) =
            if pinned { ("cached_image_pinned", "image pinned") } else { ("cached_image_unpinned", "image unpinned") };
        let before = found.image.pinned;
        let changes = vec![field("pinned", Some(before.into()), Some(pinned.into()))];
        let change = CacheChange { name: event, what, group: (group, &path), image: Some(&name), changes };
        let pin = async {
            match caller.state.images.pin(&found.image, pinned).await? {
                Pinned::Done => Ok(()),
                Pinned::NotThere => Err(ApiError::NotFound("Image")),
                Pinned::TooMuch => Err(ApiError::Refused(TOO_MUCH_PINNED)),
            }
        };
        caller.change_cache(&change, pin).await?;
        caller.log_image(what, (group, &path), &name);
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
        let (name, what) = (view::name(&found), "image deleted");
        caller.log_image(what, (group, &path), &name);
        let digest = found.image.digest.to_string();
        let changes = vec![field("digest", Some(digest.into()), None)];
        let change =
            CacheChange { name: "cached_image_deleted", what, group: (group, &path), image: Some(&name), changes };
        let remove = async { Ok(caller.state.images.remove(&found.image).await?) };
        caller.change_cache(&change, remove).await?;
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

/// Parses the name of an image in the path of a request.
pub(super) fn parse(caller: &Caller, name: &str) -> Result<ImageName, ApiError> {
    let parsed = ImageName::parse(name, &caller.state.upstreams.load());
    parsed.map_err(|error| ApiError::Parameter(format!("'{name}' is not an image: {error}")))
}

/// Returns a group's image of this name, once for each account with which it was pulled; at least one. Fails for the
/// digest of a tag with a sentence that names the tag.
pub(in crate::http) async fn find(caller: &Caller, group: GroupId, name: &str) -> Result<Vec<ShownImage>, ApiError> {
    let ImageName { upstream, repository, reference } = parse(caller, name)?;
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

fn field(field: &str, from: Option<Value>, to: Option<Value>) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to }
}

/// Returns the digest of an image before and after a refresh, if the tag has moved.
async fn digest_change(caller: &Caller, before: &ShownImage) -> Vec<FieldChange> {
    let ImageKey { group, origin, reference } = before.image.key.clone();
    let name = (origin.upstream.clone(), origin.repository.clone(), reference);
    let found = caller.state.images.find(group, name).await.unwrap_or_default();
    let after = found.iter().find(|one| one.image.key.origin == origin);
    let moved = after.filter(|after| after.image.digest != before.image.digest);
    let text = |image: &ShownImage| Some(image.image.digest.to_string().into());
    moved.map(|after| field("digest", text(before), text(after))).into_iter().collect()
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
