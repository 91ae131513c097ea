//! `.../deletion`, `.../revocation` and `GET .../dependency_proxy/cache`: the objects that a change would remove,
//! for callers who may make it, so that a client can ask for confirmation. GitLab has no such routes. They change
//! nothing. If the change itself would be refused, they fail with the same status.

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::losses::{self, Lost};
use super::params::Params;
use super::response::{Body, Found};
use super::{group_tokens, groups, personal_tokens, users};
use crate::actors::janitor::Holdings;
use crate::domain::id::GroupId;

/// The objects that go with a group, with what it and the groups below it have cached.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LostWithGroup")]
pub(super) struct LostWithGroupView {
    #[serde(flatten)]
    lost: Lost,
    /// `null` if the index of the cache cannot be read.
    cache: Option<HoldingsView>,
}

/// The tags and the bytes that groups have cached.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Holdings")]
pub(super) struct HoldingsView {
    /// The number of tags, counted once for each group.
    tags: usize,
    /// The size of the manifests and blobs, each content counted once.
    bytes: u64,
}

/// Handles `GET /groups/:id/deletion`.
pub(super) async fn of_group(caller: Caller, path: web::Path<String>) -> Result<Found<LostWithGroupView>, ApiError> {
    let top = caller.authority().group(&path, Right::Own)?.id;
    let (lost, cache) = groups::deletion(&caller, top).await?;
    Ok(Body(LostWithGroupView { lost, cache: cache.map(HoldingsView::of) }))
}

/// Handles `GET /groups/:id/dependency_proxy/cache`. Groups below it are not counted.
pub(super) async fn of_cache(caller: Caller, path: web::Path<String>) -> Result<Found<Option<HoldingsView>>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    Ok(Body(holdings(&caller, vec![group]).await))
}

/// Handles `GET /users/:id/deletion`.
pub(super) async fn of_user(caller: Caller, path: web::Path<String>, params: Params) -> Result<Found<Lost>, ApiError> {
    let deleted = users::deletable(&caller.authority(), &path)?;
    let lost = losses::of_deletion(&caller.authority(), deleted, params.is_true("hard_delete")?)?;
    Ok(Body(lost))
}

/// Handles `GET /personal_access_tokens/:id/revocation`.
pub(super) async fn of_token(caller: Caller, path: web::Path<String>) -> Result<Found<Lost>, ApiError> {
    let token = personal_tokens::find(&caller.authority(), &path)?;
    Ok(Body(losses::of_revoked(&caller.authority(), token.id)?))
}

/// Handles `GET /groups/:id/access_tokens/:token_id/revocation`.
pub(super) async fn of_group_token(caller: Caller, path: web::Path<(String, String)>) -> Result<Found<Lost>, ApiError> {
    let token = group_tokens::find(&caller.authority(), &path)?;
    Ok(Body(losses::of_revoked(&caller.authority(), token.id)?))
}

async fn holdings(caller: &Caller, groups: Vec<GroupId>) -> Option<HoldingsView> {
    caller.state.janitor.holdings(groups).await.map(HoldingsView::of)
}

impl HoldingsView {
    fn of(Holdings { tags, bytes }: Holdings) -> Self {
        Self { tags, bytes }
    }
}
