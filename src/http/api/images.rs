//! `/groups/:id/dependency_proxy/images`: the images that a group has cached. Members list them; owners delete and pin
//! them. An image is named in the path as it is pulled, such as `alpine:3.22` or `ghcr.io/acme/app@sha256:...`.

use actix_web::{HttpResponse, web};
use serde_json::Value;

use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::image_view as view;
use super::pagination::Page;
use super::params::Params;
use crate::actors::images::{ImageOrder, ImageQuery, Pinned, ShownImage};
use crate::domain::directory::Directory;
use crate::domain::id::GroupId;
use crate::domain::image_path::ImageName;
use crate::domain::policy;
use crate::domain::reference::Reference;

const TOO_MUCH_PINNED: &str = "The pinned images of all groups would take more than half of the maximum size of the cache \
                               (storage.max_bytes): unpin others first";

/// Maximum number of images of a digest that are examined for tags.
const MAX_TAGS_OF_DIGEST: usize = 20;

/// Handles `GET /groups/:id/dependency_proxy/images`. Only the order `name`, the default, without `search` and `pinned`
/// reads no more than the page.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let group = of_member(&caller.authority(), &path)?;
    let order = match params.text("order_by")?.as_deref() {
        None | Some("name") => ImageOrder::Name,
        Some("size") => ImageOrder::Size,
        Some("cached_at") => ImageOrder::CachedAt,
        Some("last_pulled_at") => ImageOrder::LastPulledAt,
        Some("pulls") => ImageOrder::Pulls,
        Some(_) => return Err(ApiError::invalid_value("order_by")),
    };
    let descending = match params.text("sort")?.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(ApiError::invalid_value("sort")),
    };
    let query = ImageQuery {
        search: params.text("search")?.filter(|text| !text.is_empty()),
        pinned: params.flag("pinned")?,
        order,
        descending,
        skip: page.skipped(),
        limit: page.per_page(),
    };
    let found = caller.state.images.list(group, query).await?;
    let shown = found.images.iter().map(|image| shown(&caller, group, image)).collect();
    Ok(page.part(&caller.base_url, found.total, shown))
}

/// Handles `GET /groups/:id/dependency_proxy/images/:image`.
pub(super) async fn show(caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let group = of_member(&caller.authority(), &path.0)?;
    let found = find(&caller, group, &path.1).await?;
    let mut image = shown(&caller, group, &found[0]);
    image["history"] = view::history(&caller.state.images.earlier(&found[0].image).await?);
    Ok(HttpResponse::Ok().json(image))
}

/// Handles `POST /groups/:id/dependency_proxy/refresh/:image`: has the registry confirm the tag now.
pub(super) async fn refresh(caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let (group, image) = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let (group, path) = caller.decide_again(own)?;
    for found in find(&caller, group, &image).await? {
        check_account(&caller, group, &found)?;
        caller.log_image("image refreshed", (group, &path), &view::name(&found));
        caller.state.images.refresh(&found.image).await?;
    }
    Ok(HttpResponse::Ok().json(shown(&caller, group, &find(&caller, group, &image).await?[0])))
}

/// Handles `PUT /groups/:id/dependency_proxy/images/:image`, with `pinned`. A pinned image is neither evicted nor
/// removed for its age.
pub(super) async fn update(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let (group, image) = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let pinned = params.flag("pinned")?.ok_or_else(|| ApiError::Parameter("pinned is missing".to_owned()))?;
    let (group, path) = caller.decide_again(own)?;
    for found in find(&caller, group, &image).await? {
        match caller.state.images.pin(&found.image, pinned).await? {
            Pinned::Done => {
                let what = if pinned { "image pinned" } else { "image unpinned" };
                caller.log_image(what, (group, &path), &view::name(&found));
            }
            Pinned::NotThere => return Err(ApiError::NotFound("Image")),
            Pinned::TooMuch => return Err(ApiError::Refused(TOO_MUCH_PINNED)),
        }
    }
    Ok(HttpResponse::Ok().json(shown(&caller, group, &find(&caller, group, &image).await?[0])))
}

/// Handles `DELETE /groups/:id/dependency_proxy/images/:image`. The next pull downloads the image again.
pub(super) async fn delete(caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let (group, image) = path.into_inner();
    let own = caller.may(move |caller| Ok(caller.group(&group, Right::Own)?.id))?;
    let (group, path) = caller.decide_again(own)?;
    for found in find(&caller, group, &image).await? {
        caller.log_image("image deleted", (group, &path), &view::name(&found));
        caller.state.images.remove(&found.image).await?;
    }
    Ok(HttpResponse::NoContent().finish())
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

/// Fails if the group may not pull at present.
pub(super) fn check_switched_on(caller: &Caller, directory: &Directory, group: GroupId) -> Result<(), ApiError> {
    let switched = directory.service().proxy_enabled.unwrap_or(caller.state.proxy_enabled);
    if switched && policy::proxy_enabled(directory, group) {
        Ok(())
    } else {
        Err(ApiError::Refused("The dependency proxy is switched off for this group"))
    }
}

/// Returns the group, if the caller is a member of it or an administrator: visitors of a public group do not see what
/// it has cached.
pub(super) fn of_member(caller: &Authority<'_>, group: &str) -> Result<GroupId, ApiError> {
    let group = caller.group(group, Right::See)?;
    caller.level(group.id).map(|_| group.id).ok_or(ApiError::Forbidden)
}

fn shown(caller: &Caller, group: GroupId, image: &ShownImage) -> Value {
    let days = policy::unpulled_days(&caller.directory, group, caller.state.unpulled_days);
    view::image(image, days, caller.now)
}

/// Returns a group's image of this name, once for each account with which it was pulled; at least one. Fails for the
/// digest of a tag with a sentence that names the tag.
async fn find(caller: &Caller, group: GroupId, name: &str) -> Result<Vec<ShownImage>, ApiError> {
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
