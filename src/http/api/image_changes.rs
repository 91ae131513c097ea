//! Changes of the images that a group has cached, for its owners: what the API and the console carry out. An image is
//! named as it is pulled, such as `alpine:3.22`. The caller's right is decided again at the change, and each change is
//! logged with its caller, and has an audit event.

use std::cmp::Reverse;

use serde_json::Value;

use super::caller::{CacheChange, Caller, Right, owner_of};
use super::error::ApiError;
use super::image_view as view;
use crate::actors::images::{ImageKey, ImageQuery, Pinned, ShownImage};
use crate::domain::audit::FieldChange;
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::domain::image_path::ImageName;
use crate::domain::reference::Reference;

const TOO_MUCH_PINNED: &str = "With this image, the pinned images of all groups would take more than half of the maximum \
                               size of the cache: unpin others, or raise storage.max_bytes";

const OTHER_ACCOUNT: &str = "The image was pulled with another account than the group has now; pull it again";

/// Maximum number of tags that the refusal of a digest names.
const MAX_TAGS_OF_DIGEST: usize = 20;

/// Has the registry confirm what a tag stands for. Returns the image as it was and as it is then. Images of accounts
/// that the group does not use any more are left as they are.
///
/// # Errors
/// The caller is no owner, there is no such image, or the registry does not confirm it.
pub(in crate::http) async fn refresh(
    caller: &Caller,
    group: GroupId,
    image: &str,
) -> Result<(ShownImage, ShownImage), ApiError> {
    let (group, path) = permitted(caller, group)?;
    let before = of_present_account(caller, group, find(caller, group, image).await?)?;
    let name = view::name(&before);
    let mut change = CacheChange {
        name: "cached_image_refreshed",
        what: "image refreshed",
        group: (group, &path),
        image: Some(&name),
        changes: Vec::new(),
    };
    caller.log_image(change.what, change.group, &name);
    if let Err(error) = caller.state.images.refresh(&before.image).await {
        let error = error.into();
        caller.record_failure(&change, &error).await;
        return Err(error);
    }
    let after = find_again(caller, &before).await;
    change.changes = after.iter().filter_map(|after| digest_change(&before, after)).collect();
    caller.record_cache(&change).await?;
    Ok((before, after?))
}

/// Pins an image, or ends that.
///
/// # Errors
/// The caller is no owner, there is no such image, or the pinned images would take too much of the cache.
pub(in crate::http) async fn pin(caller: &Caller, group: GroupId, image: &str, pinned: bool) -> Result<(), ApiError> {
    let (group, path) = permitted(caller, group)?;
    // One that is as wanted already has no event.
    for found in find(caller, group, image).await?.into_iter().filter(|found| found.image.pinned != pinned) {
        let name = view::name(&found);
        let (event, what) =
            if pinned { ("cached_image_pinned", "image pinned") } else { ("cached_image_unpinned", "image unpinned") };
        let changes = vec![field("pinned", Some((!pinned).into()), Some(pinned.into()))];
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

/// Removes what a group has cached, except for pinned images.
///
/// # Errors
/// The caller is no owner, or the store fails.
pub(in crate::http) async fn clear_unpinned(caller: &Caller, group: GroupId) -> Result<(), ApiError> {
    let own = caller.may(owner_of(group))?;
    caller.purge_unpinned(own).await
}

/// Returns the group that a request names, by its number or its path, if the caller may change what it has cached.
pub(super) fn named(caller: &Caller, group: &str) -> Result<GroupId, ApiError> {
    Ok(caller.authority().group(group, Right::Own)?.id)
}

/// Returns true if there is no such image.
pub(in crate::http) fn is_missing(error: &ApiError) -> bool {
    matches!(error, ApiError::NotFound("Image"))
}

/// Fails if the group may not pull at present.
pub(super) fn check_switched_on(caller: &Caller, directory: &Directory, group: GroupId) -> Result<(), ApiError> {
    caller.state.switched_off(directory, group).map_or(Ok(()), |reason| Err(ApiError::SwitchedOff(reason)))
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

/// Returns a group's image of this name, once for each account with which it was pulled; at least one. The first is
/// that of the present account, if there is one, and the others follow from the newest to the oldest. Fails for the
/// digest of a tag with a sentence that names the tag.
pub(in crate::http) async fn find(caller: &Caller, group: GroupId, name: &str) -> Result<Vec<ShownImage>, ApiError> {
    let image = parse(caller, name)?;
    let found = find_with_tags(caller, group, &image).await?;
    match found.first() {
        None => Err(ApiError::NotFound("Image")),
        Some(first) if first.image.key.reference != image.reference => {
            let mut names: Vec<String> = found.iter().map(view::name).collect();
            // A tag is there once for each account.
            names.dedup();
            let others = names.len().saturating_sub(MAX_TAGS_OF_DIGEST);
            names.truncate(MAX_TAGS_OF_DIGEST);
            names.extend((others > 0).then(|| format!("one of {others} other tags")));
            Err(ApiError::ByTag(names.join(" or ")))
        }
        Some(_) => Ok(present_first(caller, group, found)),
    }
}

/// Returns images with that of the account with which the group would pull now first, and the others from the newest to
/// the oldest.
fn present_first(caller: &Caller, group: GroupId, mut found: Vec<ShownImage>) -> Vec<ShownImage> {
    let (directory, upstreams) = (&caller.directory, caller.state.upstreams.load());
    let path = directory.group(group).map(|group| &group.path);
    found.sort_by_key(|one| {
        let origin = &one.image.key.origin;
        let present = path.map(|path| upstreams.origin(origin.upstream.clone(), origin.repository.clone(), path));
        (present.as_ref() != Some(origin), Reverse(one.image.cached_at))
    });
    found
}

/// Returns a group's image of this name, once for each account with which it was pulled; for a digest that was pulled
/// only by tags, the images of these tags.
pub(super) async fn find_with_tags(
    caller: &Caller,
    group: GroupId,
    image: &ImageName,
) -> Result<Vec<ShownImage>, ApiError> {
    let ImageName { upstream, repository, reference } = image;
    let images = &caller.state.images;
    let found = images.find(group, upstream.clone(), repository.clone(), reference.clone()).await?;
    let Reference::Digest(digest) = reference else { return Ok(found) };
    if !found.is_empty() {
        return Ok(found);
    }
    let of_digest = ImageQuery {
        search: Some(digest.to_string()),
        repository: Some((upstream.clone(), repository.clone())),
        limit: usize::MAX,
        ..ImageQuery::default()
    };
    Ok(images.list(group, of_digest).await?.images)
}

/// Returns an image as it is now.
async fn find_again(caller: &Caller, before: &ShownImage) -> Result<ShownImage, ApiError> {
    let ImageKey { group, origin, reference } = before.image.key.clone();
    let (upstream, repository) = (origin.upstream.clone(), origin.repository.clone());
    let found = caller.state.images.find(group, upstream, repository, reference).await?;
    found.into_iter().find(|one| one.image.key.origin == origin).ok_or(ApiError::NotFound("Image"))
}

fn field(field: &str, from: Option<Value>, to: Option<Value>) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to }
}

/// Returns the digest of an image before and after a refresh, if the tag has moved.
fn digest_change(before: &ShownImage, after: &ShownImage) -> Option<FieldChange> {
    let text = |image: &ShownImage| Some(image.image.digest.to_string().into());
    (after.image.digest != before.image.digest).then(|| field("digest", text(before), text(after)))
}

/// Returns the image of the account with which the group would pull it now. Fails if it was pulled only with others, or
/// if the group may not pull at all.
fn of_present_account(caller: &Caller, group: GroupId, found: Vec<ShownImage>) -> Result<ShownImage, ApiError> {
    let directory = caller.state.identities.directory();
    let group = directory.group(group).ok_or(ApiError::NotFound("Group"))?;
    check_switched_on(caller, &directory, group.id)?;
    let upstreams = caller.state.upstreams.load();
    let is_present = |one: &ShownImage| {
        let origin = &one.image.key.origin;
        upstreams.origin(origin.upstream.clone(), origin.repository.clone(), &group.path) == *origin
    };
    found.into_iter().find(is_present).ok_or(ApiError::Refused(OTHER_ACCOUNT))
}
