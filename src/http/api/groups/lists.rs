//! Lists of groups, with their filters and orders.

use std::sync::Arc;

use actix_web::web;

use super::view::{GroupView, view};
use super::visibility;
use crate::domain::access::AccessLevel;
use crate::domain::group::Group;
use crate::http::api::caller::{Caller, Right};
use crate::http::api::error::ApiError;
use crate::http::api::pagination::Page;
use crate::http::api::params::Params;
use crate::http::api::response::ListPage;

/// Handles `GET /groups`.
pub(in crate::http::api) async fn list(
    caller: Caller,
    page: Page,
    params: Params,
) -> Result<ListPage<GroupView>, ApiError> {
    let top_level = params.is_true("top_level_only")?;
    let groups = chosen(&caller, &params, |group| !top_level || group.parent.is_none())?;
    Ok(page.of(&caller.base_url, &groups, |group| view(&caller, group)))
}

/// Handles `GET /groups/:id/subgroups`.
pub(in crate::http::api) async fn subgroups(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<GroupView>, ApiError> {
    let parent = caller.authority().group(&path, Right::See)?;
    let groups = chosen(&caller, &params, |group| group.parent == Some(parent.id))?;
    Ok(page.of(&caller.base_url, &groups, |group| view(&caller, group)))
}

/// Handles `GET /groups/:id/descendant_groups`.
pub(in crate::http::api) async fn descendants(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<GroupView>, ApiError> {
    let top = caller.authority().group(&path, Right::See)?;
    let groups = chosen(&caller, &params, |group| group.id != top.id && group.path.is_within(&top.path))?;
    Ok(page.of(&caller.base_url, &groups, |group| view(&caller, group)))
}

/// Returns the groups that the caller may see and that match the filters of a list, in its order.
fn chosen(caller: &Caller, params: &Params, fits: impl Fn(&Group) -> bool) -> Result<Vec<Arc<Group>>, ApiError> {
    let authority = caller.authority();
    let search = params.text("search")?.unwrap_or_default().to_lowercase();
    let found = |group: &Group| group.name.to_lowercase().contains(&search) || group.path.last_part().contains(&search);
    let owned = params.is_true("owned")?.then_some(AccessLevel::Owner);
    let wanted = owned.max(params.level("min_access_level")?);
    let visibility = visibility(params)?;
    let joined_only = params.flag("all_available")? == Some(false);
    let mut groups: Vec<Arc<Group>> = caller
        .directory
        .groups()
        .filter(|group| fits(group) && authority.sees(group) && found(group))
        .filter(|group| visibility.is_none_or(|visibility| visibility == group.visibility))
        .filter(|group| !joined_only || authority.own_level(group.id).is_some())
        .filter(|group| wanted.is_none() || authority.own_level(group.id) >= wanted)
        .cloned()
        .collect();
    match params.text("order_by")?.as_deref() {
        Some("id") => {}
        Some("path") => groups.sort_by(|a, b| a.path.cmp(&b.path)),
        None | Some("" | "name") => groups.sort_by_key(|group| group.name.to_lowercase()),
        Some(_) => return Err(ApiError::invalid_value("order_by")),
    }
    if params.is_descending(false)? {
        groups.reverse();
    }
    Ok(groups)
}
