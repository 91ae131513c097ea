//! `.../dependency_proxy/statistics`: sizes of what is cached, and traffic.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::web;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::error::ApiError;
use super::image_view::{self as view, SizesView, TrafficView};
use super::images::of_member;
use super::pagination::Page;
use super::response::{Body, Found, ListPage, Time};
use crate::actors::images::GroupTotals;
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};

/// The sizes of what a group has cached, and its traffic. Groups below it are not counted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupStatistics")]
pub(super) struct GroupStatistics {
    #[serde(flatten)]
    sizes: SizesView,
    traffic: MonthView,
}

/// The sizes of the whole store, where each content is once, and the traffic of all groups.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoreStatistics")]
pub(super) struct StoreStatistics {
    bytes: u64,
    blobs: u64,
    manifests: u64,
    /// The maximum of `bytes`; `null`: there is none.
    max_bytes: Option<u64>,
    /// The free bytes on the disk of the cache.
    free_bytes: u64,
    traffic: MonthView,
}

/// The traffic of the last 30 days, without the last seconds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Traffic")]
struct MonthView {
    #[serde(flatten)]
    sums: TrafficView,
    /// The traffic by hour, the earliest first. Hours without pulls are left out.
    hours: Vec<HourView>,
}

/// The traffic of an hour.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrafficOfHour")]
struct HourView {
    #[serde(flatten)]
    sums: TrafficView,
    /// The time at which the hour begins.
    #[schemars(with = "Time")]
    start: Timestamp,
}

/// Handles `GET /groups/:id/dependency_proxy/statistics`. Groups below it are not counted.
pub(super) async fn of_group(caller: Caller, path: web::Path<String>) -> Result<Found<GroupStatistics>, ApiError> {
    let id = of_member(&caller.authority(), &path)?;
    let group = caller.directory.group(id).ok_or(ApiError::NotFound("Group"))?;
    let totals = totals(&caller).await?.remove(&id).unwrap_or_default();
    let traffic = traffic(&caller, Some(id)).await?;
    Ok(Body(GroupStatistics { sizes: view::group_sizes(group, totals), traffic }))
}

/// Handles `GET /dependency_proxy/groups`: the sizes of the groups of which the caller is a member, and of all groups
/// for an administrator, the largest first.
pub(super) async fn of_groups(caller: Caller, page: Page) -> Result<ListPage<SizesView>, ApiError> {
    let totals = totals(&caller).await?;
    let authority = caller.authority();
    let of = |group: &Arc<Group>| totals.get(&group.id).copied().unwrap_or_default();
    let mut groups: Vec<Arc<Group>> =
        caller.directory.groups().filter(|group| authority.level(group.id).is_some()).cloned().collect();
    groups.sort_by_cached_key(|group| (Reverse(of(group).bytes), group.path.clone()));
    Ok(page.of(&caller.base_url, &groups, |group| view::group_sizes(group, of(group))))
}

/// Handles `GET /dependency_proxy/statistics`: the sizes of the whole store, for administrators.
pub(super) async fn of_store(caller: Caller) -> Result<Found<StoreStatistics>, ApiError> {
    caller.authority().administrator()?;
    let sizes = caller.state.images.sizes().await?;
    Ok(Body(StoreStatistics {
        bytes: sizes.stored.bytes,
        blobs: sizes.stored.blobs,
        manifests: sizes.stored.manifests,
        max_bytes: sizes.max_bytes,
        free_bytes: sizes.free_bytes,
        traffic: traffic(&caller, None).await?,
    }))
}

/// Returns the traffic of the last 30 days of a group, or of all, in all and by hour. Hours without pulls are left out.
async fn traffic(caller: &Caller, group: Option<GroupId>) -> Result<MonthView, ApiError> {
    let hours = caller.state.images.traffic(group, TRAFFIC_HOURS, caller.now).await?;
    let of_hour = |(hour, traffic): &(Hour, Traffic)| HourView { sums: view::traffic(traffic), start: hour.start() };
    let sums = view::traffic(&Traffic::of_all(&hours));
    Ok(MonthView { sums, hours: hours.iter().map(of_hour).collect() })
}

async fn totals(caller: &Caller) -> Result<HashMap<GroupId, GroupTotals>, ApiError> {
    caller.state.images.totals().await?.ok_or(ApiError::NoSizes)
}
