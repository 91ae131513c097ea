//! `.../dependency_proxy/statistics`: sizes of what is cached, and traffic.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::Caller;
use super::error::ApiError;
use super::image_view as view;
use super::images::of_member;
use super::pagination::Page;
use crate::actors::images::GroupTotals;
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};

/// Handles `GET /groups/:id/dependency_proxy/statistics`. Groups below it are not counted.
pub(super) async fn of_group(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = of_member(&caller.authority(), &path)?;
    let group = caller.directory.group(id).ok_or(ApiError::NotFound("Group"))?;
    let totals = totals(&caller).await?.remove(&id).unwrap_or_default();
    let mut statistics = view::group_sizes(group, totals);
    statistics["traffic"] = traffic(&caller, Some(id)).await?;
    Ok(HttpResponse::Ok().json(statistics))
}

/// Handles `GET /dependency_proxy/groups`: the sizes of the groups of which the caller is a member, and of all groups
/// for an administrator, the largest first.
pub(super) async fn of_groups(caller: Caller, page: Page) -> Result<HttpResponse, ApiError> {
    let totals = totals(&caller).await?;
    let authority = caller.authority();
    let of = |group: &Arc<Group>| totals.get(&group.id).copied().unwrap_or_default();
    let mut groups: Vec<Arc<Group>> =
        caller.directory.groups().filter(|group| authority.level(group.id).is_some()).cloned().collect();
    groups.sort_by_cached_key(|group| (Reverse(of(group).bytes), group.path.clone()));
    Ok(page.of(&caller.base_url, &groups, |group| view::group_sizes(group, of(group))))
}

/// Handles `GET /dependency_proxy/statistics`: the sizes of the whole store, for administrators.
pub(super) async fn of_store(caller: Caller) -> Result<HttpResponse, ApiError> {
    caller.authority().administrator()?;
    let sizes = caller.state.images.sizes().await?;
    Ok(HttpResponse::Ok().json(json!({
        "bytes": sizes.stored.bytes,
        "blobs": sizes.stored.blobs,
        "manifests": sizes.stored.manifests,
        "max_bytes": sizes.max_bytes,
        "free_bytes": sizes.free_bytes,
        "traffic": traffic(&caller, None).await?,
    })))
}

/// Returns the traffic of the last 30 days of a group, or of all, in all and by hour. Hours without pulls are left out.
async fn traffic(caller: &Caller, group: Option<GroupId>) -> Result<Value, ApiError> {
    let hours = caller.state.images.traffic(group, TRAFFIC_HOURS, caller.now).await?;
    let mut traffic = view::traffic(&Traffic::of_all(&hours));
    let of_hour = |(hour, traffic): &(Hour, Traffic)| {
        let mut shown = view::traffic(traffic);
        shown["start"] = json!(hour.start());
        shown
    };
    traffic["hours"] = hours.iter().map(of_hour).collect();
    Ok(traffic)
}

async fn totals(caller: &Caller) -> Result<HashMap<GroupId, GroupTotals>, ApiError> {
    caller.state.images.totals().await?.ok_or(ApiError::NoSizes)
}
