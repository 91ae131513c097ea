//! `/groups/:id/dependency_proxy/images`: the images that a group has cached. Members list them; owners delete and pin
//! them. An image is named in the path as it is pulled, such as `alpine:3.22` or `ghcr.io/acme/app@sha256:...`.

use actix_web::web;

use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::image_changes as changes;
use super::image_view::{self as view, ImageView, ImageWithHistory};
use super::pagination::Page;
use super::params::Params;
use super::response::{Body, Found, ListPage, NoContent};
use crate::actors::images::{ImageOrder, ImageQuery, ShownImage, StateFilter, going_before};
use crate::domain::id::GroupId;
use crate::domain::policy;

/// Handles `GET /groups/:id/dependency_proxy/images`. Only the order `name`, the default, without `search`, `pinned`
/// and `state` reads no more than the page.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<ImageView>, ApiError> {
    let group = of_member(&caller.authority(), &path)?;
    let order = match params.text("order_by")?.as_deref() {
        None | Some("name") => ImageOrder::Name,
        Some("size") => ImageOrder::Size,
        Some("cached_at") => ImageOrder::CachedAt,
        Some("last_pulled_at") => ImageOrder::LastPulledAt,
        Some("pulls") => ImageOrder::Pulls,
        Some(_) => return Err(ApiError::invalid_value("order_by")),
    };
    let descending = params.is_descending(false)?;
    let state = match params.text("state")?.as_deref() {
        None | Some("") => None,
        Some("stale") => Some(StateFilter::Stale),
        Some("arriving") => Some(StateFilter::Arriving),
        Some("going") => Some(StateFilter::Going),
        Some(_) => return Err(ApiError::invalid_value("state")),
    };
    let days = policy::unpulled_days(&caller.directory, group, caller.state.unpulled_days);
    let only = match state {
        Some(state) => Some(caller.state.images.only(state, going_before(days, caller.now)).await),
        None => None,
    };
    let query = ImageQuery {
        search: params.text("search")?.filter(|text| !text.is_empty()),
        pinned: params.flag("pinned")?,
        only,
        repository: None,
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
pub(super) async fn show(
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<Found<ImageWithHistory>, ApiError> {
    let group = of_member(&caller.authority(), &path.0)?;
    let found = changes::find(&caller, group, &path.1).await?;
    let history = view::history(&caller.state.images.earlier(&found[0].image).await?);
    Ok(Body(ImageWithHistory { image: shown(&caller, group, &found[0]), history }))
}

/// Handles `POST /groups/:id/dependency_proxy/refresh/:image`: has the registry confirm the tag now.
pub(super) async fn refresh(caller: Caller, path: web::Path<(String, String)>) -> Result<Found<ImageView>, ApiError> {
    let group = changes::named(&caller, &path.0)?;
    let (_, refreshed) = changes::refresh(&caller, group, &path.1).await?;
    Ok(Body(shown(&caller, group, &refreshed)))
}

/// Handles `PUT /groups/:id/dependency_proxy/images/:image`, with `pinned`. A pinned image is neither evicted nor
/// removed for its age.
pub(super) async fn update(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params,
) -> Result<Found<ImageView>, ApiError> {
    let group = changes::named(&caller, &path.0)?;
    let pinned = params.flag("pinned")?.ok_or_else(|| ApiError::Parameter("pinned is missing".to_owned()))?;
    changes::pin(&caller, group, &path.1, pinned).await?;
    Ok(Body(shown(&caller, group, &changes::find(&caller, group, &path.1).await?[0])))
}

/// Handles `DELETE /groups/:id/dependency_proxy/images/:image`. The next pull downloads the image again.
pub(super) async fn delete(caller: Caller, path: web::Path<(String, String)>) -> Result<NoContent, ApiError> {
    changes::delete(&caller, changes::named(&caller, &path.0)?, &path.1).await?;
    Ok(NoContent)
}

/// Returns the group, if the caller is a member of it or an administrator: visitors of a public group do not see what
/// it has cached.
pub(super) fn of_member(caller: &Authority<'_>, group: &str) -> Result<GroupId, ApiError> {
    let group = caller.group(group, Right::See)?;
    caller.level(group.id).map(|_| group.id).ok_or(ApiError::Forbidden)
}

fn shown(caller: &Caller, group: GroupId, image: &ShownImage) -> ImageView {
    let days = policy::unpulled_days(&caller.directory, group, caller.state.unpulled_days);
    view::image(image, days, caller.now)
}
