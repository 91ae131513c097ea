//! `/groups`: the groups that the caller may see, and changes by their owners
//! (<https://docs.gitlab.com/api/groups/>).

use std::sync::Arc;

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Accepted, Body, Created, Found, ListPage, Message, Time};
use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::image_changes;
use super::pagination::Page;
use super::params::Params;
use crate::domain::access::AccessLevel;
use crate::domain::commands::CommandResult;
use crate::domain::commands::group::{self as edit, GroupChange, NewGroup};
use crate::domain::directory::Directory;
use crate::domain::group::{Group, GroupPath, Visibility};
use crate::domain::id::GroupId;

/// A group in GitLab's representation. A setting that is `null` is inherited from the group above or from the service.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub(super) struct GroupView {
    id: u64,
    web_url: String,
    name: String,
    path: String,
    description: String,
    #[schemars(extend("enum" = ["private", "internal", "public"]))]
    visibility: &'static str,
    full_name: String,
    full_path: String,
    parent_id: Option<u64>,
    avatar_url: (),
    created_at: Time,
    /// Whether the group may pull; groups below inherit it.
    dependency_proxy_enabled: Option<bool>,
    /// The quota of what the group has cached.
    dependency_proxy_max_bytes: Option<u64>,
    /// The days after its last pull after which an image goes; 0: never.
    dependency_proxy_unpulled_days: Option<u32>,
    /// The time for which tags are fresh.
    dependency_proxy_tag_freshness_seconds: Option<u32>,
    #[serde(flatten)]
    without_effect: WithoutEffect,
}

/// Settings of groups in GitLab that mean nothing here, with the values that its Terraform provider assumes: it would
/// otherwise change each group again at every run.
#[derive(Serialize, JsonSchema)]
struct WithoutEffect {
    default_branch_protection: u8,
    lfs_enabled: bool,
    project_creation_level: &'static str,
    subgroup_creation_level: &'static str,
    two_factor_grace_period: u8,
}

impl WithoutEffect {
    const ASSUMED: Self = Self {
        default_branch_protection: 2,
        lfs_enabled: true,
        project_creation_level: "maintainer",
        subgroup_creation_level: "owner",
        two_factor_grace_period: 48,
    };
}

/// Handles `POST /groups`.
pub(super) async fn create(caller: Caller, params: Params) -> Result<Created<GroupView>, ApiError> {
    params.require(&["name", "path"])?;
    let parent = params.number("parent_id")?;
    may_create_in(&caller.authority(), parent)?;
    let new = NewGroup {
        name: params.required_text("name")?,
        path: params.required_text("path")?,
        description: params.text("description")?.unwrap_or_default(),
        parent: parent.map(GroupId),
        visibility: visibility(&params)?,
        creator: caller.user.id,
    };
    let group = make(&caller, new).await?;
    Ok(Body(view(&caller, &group)))
}

/// Creates a group.
///
/// # Errors
/// The caller may not create it there, a field is not valid, or its path is taken.
pub(in crate::http) async fn make(caller: &Caller, new: NewGroup) -> Result<Group, ApiError> {
    let parent = new.parent.map(|parent| parent.0);
    let may = caller.may(move |caller| may_create_in(caller, parent))?;
    let create = move |caller: &Authority<'_>, ()| {
        edit::create(caller.directory, &caller.state.upstreams.load(), new, &caller.terms())
    };
    caller.change("group created", may, create).await
}

/// Checks that the caller is an owner of the group above a new group, or an administrator if there is none.
fn may_create_in(caller: &Authority<'_>, parent: Option<u64>) -> Result<(), ApiError> {
    match parent {
        Some(id) => caller.group(&id.to_string(), Right::Own).map(drop),
        None => caller.administrator(),
    }
}

/// Handles `GET /groups`.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<ListPage<GroupView>, ApiError> {
    let top_level = params.is_true("top_level_only")?;
    let groups = chosen(&caller, &params, |group| !top_level || group.parent.is_none())?;
    Ok(page.of(&caller.base_url, &groups, |group| view(&caller, group)))
}

/// Handles `GET /groups/:id/subgroups`.
pub(super) async fn subgroups(
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
pub(super) async fn descendants(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<GroupView>, ApiError> {
    let top = caller.authority().group(&path, Right::See)?;
    let groups = chosen(&caller, &params, |group| group.id != top.id && group.path.is_within(&top.path))?;
    Ok(page.of(&caller.base_url, &groups, |group| view(&caller, group)))
}

/// Handles `GET /groups/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<Found<GroupView>, ApiError> {
    let group = caller.authority().group(&path, Right::See)?;
    Ok(Body(view(&caller, &group)))
}

/// Handles `PUT /groups/:id`.
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<GroupView>, ApiError> {
    let part = params.text("path")?;
    let own = caller.may(move |caller| {
        let group = caller.group(&path, Right::Own)?;
        check_move(caller, &group, part.as_deref())?;
        Ok(group.id)
    })?;
    let unpulled_days = params.number("dependency_proxy_unpulled_days")?;
    let seconds = params.number("dependency_proxy_tag_freshness_seconds")?;
    let change = GroupChange {
        name: params.text("name")?,
        path: params.text("path")?,
        description: params.text("description")?,
        visibility: visibility(&params)?,
        proxy_enabled: params.flag("dependency_proxy_enabled")?.map(Some).or(none(&params, "dependency_proxy_enabled")),
        max_cache_bytes: params
            .number("dependency_proxy_max_bytes")?
            .map(Some)
            .or(none(&params, "dependency_proxy_max_bytes")),
        unpulled_days: unpulled_days
            .map(|days| Some(u32::try_from(days).unwrap_or(u32::MAX)))
            .or(none(&params, "dependency_proxy_unpulled_days")),
        tag_freshness_seconds: seconds
            .map(|seconds| Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
            .or(none(&params, "dependency_proxy_tag_freshness_seconds")),
    };
    let update = move |caller: &Authority<'_>, id| {
        let edit = edit::update(caller.directory, &caller.state.upstreams.load(), id, change, caller.user.id);
        with_vacated(caller.directory, edit)
    };
    let (group, vacated) = caller.change("group changed", own, update).await?;
    warn_of_vacated(&caller, &vacated);
    Ok(Body(view(&caller, &group)))
}

/// Handles `POST /groups/:id/transfer`: moves the group below that of `group_id`, or without it to the top.
pub(super) async fn transfer(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Created<GroupView>, ApiError> {
    let parent = params.number("group_id")?;
    let own = caller.may(move |caller| {
        let group = caller.group(&path, Right::Own)?.id;
        may_create_in(caller, parent).map(|()| group)
    })?;
    let transfer = move |caller: &Authority<'_>, id| {
        let place = (id, parent.map(GroupId));
        let upstreams = caller.state.upstreams.load();
        let edit = edit::transfer(caller.directory, &upstreams, place, caller.user.id, &caller.terms());
        with_vacated(caller.directory, edit)
    };
    let (group, vacated) = caller.change("group transferred", own, transfer).await?;
    warn_of_vacated(&caller, &vacated);
    Ok(Body(view(&caller, &group)))
}

/// Handles `DELETE /groups/:id`.
pub(super) async fn delete(caller: Caller, path: web::Path<String>) -> Result<Accepted<Message>, ApiError> {
    let own = caller.may(move |caller| Ok(caller.group(&path, Right::Own)?.id))?;
    let delete = move |caller: &Authority<'_>, id| {
        with_vacated(caller.directory, edit::delete(caller.directory, id, caller.now))
    };
    let (deleted, vacated) = caller.change("group deleted", own, delete).await?;
    warn_of_vacated(&caller, &vacated);
    for group in deleted {
        caller.state.purge.start(group).await;
    }
    Ok(Body(Message::ACCEPTED))
}

/// Handles `DELETE /groups/:id/dependency_proxy/cache` (<https://docs.gitlab.com/api/dependency_proxy/>).
pub(super) async fn purge(caller: Caller, path: web::Path<String>) -> Result<Accepted<Message>, ApiError> {
    image_changes::clear(&caller, image_changes::named(&caller, &path)?).await?;
    Ok(Body(Message::ACCEPTED))
}

/// Adds the paths to the result of an edit at which there is no group any more.
fn with_vacated<T>(directory: &Directory, edit: CommandResult<T>) -> CommandResult<(T, Vec<GroupPath>)> {
    edit.map(|(writes, value)| {
        let vacated = directory.vacated_by(&writes);
        (writes, (value, vacated))
    })
}

/// Warns about accounts that the settings reserve for paths at which there is no group any more.
fn warn_of_vacated(caller: &Caller, vacated: &[GroupPath]) {
    for kept in caller.state.upstreams.load().reserved_paths().filter(|kept| vacated.contains(kept.group)) {
        tracing::warn!(
            upstream = %kept.upstream,
            account = kept.account,
            group = %kept.group,
            "a group that the settings keep an account for is no longer at its path"
        );
    }
}

/// Refuses a new path to a caller who could not create a group there. At the top only an administrator can, and
/// below that an owner of the group above. Such callers see the other groups there, so an error about a path that
/// is taken reveals nothing to them.
fn check_move(caller: &Authority<'_>, group: &Group, part: Option<&str>) -> Result<(), ApiError> {
    let stays = |part: &str| part.eq_ignore_ascii_case(group.path.last_part());
    match group.parent {
        _ if part.is_none_or(stays) => Ok(()),
        Some(parent) if caller.level(parent) >= Some(AccessLevel::Owner) => Ok(()),
        Some(_) | None => caller.administrator(),
    }
}

fn view(caller: &Caller, group: &Group) -> GroupView {
    let above = group.parent.into_iter().flat_map(|parent| caller.directory.lineage(parent));
    let mut names: Vec<&str> =
        std::iter::once(&group.name).chain(above.map(|above| &above.name)).map(String::as_str).collect();
    names.reverse();
    GroupView {
        id: group.id.0,
        web_url: format!("{}/groups/{}", caller.base_url, group.path),
        name: group.name.clone(),
        path: group.path.last_part().to_owned(),
        description: group.description.clone(),
        visibility: group.visibility.as_str(),
        full_name: names.join(" / "),
        full_path: group.path.to_string(),
        parent_id: group.parent.map(|parent| parent.0),
        avatar_url: (),
        created_at: Time(group.created_at),
        dependency_proxy_enabled: group.proxy_enabled,
        dependency_proxy_max_bytes: group.cache.max_bytes,
        dependency_proxy_unpulled_days: group.cache.unpulled_days,
        dependency_proxy_tag_freshness_seconds: group.cache.tag_freshness_seconds,
        without_effect: WithoutEffect::ASSUMED,
    }
}

/// Returns the value for a parameter that is `null` or empty: none of the group's own.
fn none<T>(params: &Params, name: &str) -> Option<Option<T>> {
    params.is_blank(name).then_some(None)
}

fn visibility(params: &Params) -> Result<Option<Visibility>, ApiError> {
    let all = [Visibility::Private, Visibility::Internal, Visibility::Public];
    let named = |name: String| {
        let visibility = all.into_iter().find(|visibility| visibility.as_str() == name);
        visibility.ok_or_else(|| ApiError::invalid_value("visibility"))
    };
    params.text("visibility")?.map(named).transpose()
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
        _ => groups.sort_by_key(|group| group.name.to_lowercase()),
    }
    if params.text("sort")?.as_deref() == Some("desc") {
        groups.reverse();
    }
    Ok(groups)
}
