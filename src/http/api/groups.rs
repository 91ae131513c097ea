//! `/groups`: the groups that the caller may see, and changes by their owners
//! (<https://docs.gitlab.com/api/groups/>).
//!
//! | file | content |
//! |---|---|
//! | [`lists`] | lists of groups, with their filters and orders |
//! | [`view`](mod@view) | the representation of a group |

mod lists;
mod view;

use actix_web::web;

pub(super) use self::lists::{descendants, list, subgroups};
use self::view::{GroupView, view};
use super::caller::{Authority, Caller, Right, owner_of};
use super::error::ApiError;
use super::faults::Faults;
use super::image_changes;
use super::losses::{self, Lost};
use super::params::Params;
use super::response::{Accepted, Body, Created, Found, Message};
use crate::actors::janitor::Holdings;
use crate::domain::access::AccessLevel;
use crate::domain::commands::CommandResult;
use crate::domain::commands::group::{self as edit, GroupChange, NewGroup};
use crate::domain::commands::seen::{Seen, SeenValue};
use crate::domain::directory::Directory;
use crate::domain::group::{Group, GroupPath, Visibility};
use crate::domain::id::GroupId;

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
    let change = change(&params)?;
    let update = move |caller: &Authority<'_>, id| {
        let edit = edit::update(caller.directory, &caller.state.upstreams.load(), id, change, caller.user.id);
        with_vacated(caller.directory, edit)
    };
    let (group, vacated) = caller.change("group changed", own, update).await?;
    warn_of_vacated(&caller, &vacated);
    Ok(Body(view(&caller, &group)))
}

/// Returns what the parameters change.
fn change(params: &Params) -> Result<GroupChange, ApiError> {
    let mut faults = Faults::default();
    let mut number = |name: &str| {
        let number = faults.take(params.number(name)).flatten().map(Some);
        number.or(none(params, name))
    };
    let max_cache_bytes = number("dependency_proxy_max_bytes");
    let few = |number: Option<u64>| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let unpulled_days = number("dependency_proxy_unpulled_days").map(few);
    let tag_freshness_seconds = number("dependency_proxy_tag_freshness_seconds").map(few);
    let switch = faults.take(params.flag("dependency_proxy_enabled")).flatten().map(Some);
    let change = GroupChange {
        name: faults.take(params.text("name")).flatten(),
        path: faults.take(params.text("path")).flatten(),
        description: faults.take(params.text("description")).flatten(),
        visibility: faults.take(visibility(params)).flatten(),
        proxy_enabled: switch.or(none(params, "dependency_proxy_enabled")),
        max_cache_bytes,
        unpulled_days,
        tag_freshness_seconds,
    };
    faults.none().map(|()| change)
}

/// Changes a group for its owner, who has `seen` its `values`.
///
/// # Errors
/// The caller is no owner, or may not give it this path; a field is not valid; or the values are not those that were
/// seen any more.
pub(in crate::http) async fn change_seen(
    caller: &Caller,
    id: GroupId,
    change: GroupChange,
    (seen, values): (Seen, fn(&Group) -> Vec<SeenValue>),
) -> Result<Group, ApiError> {
    let (owned, part) = (owner_of(id), change.path.clone());
    let own = caller.may(move |caller| {
        let id = owned(caller)?;
        let group = caller.directory.group(id).ok_or(ApiError::NotFound("Group"))?;
        check_move(caller, group, part.as_deref()).map(|()| id)
    })?;
    let update = move |caller: &Authority<'_>, id| {
        let present = caller.directory.group(id).map(|group| values(group)).unwrap_or_default();
        let edit = edit::update(caller.directory, &caller.state.upstreams.load(), id, change, caller.user.id);
        with_vacated(caller.directory, seen.unchanged(present, edit, values))
    };
    let (group, vacated) = caller.change("group changed", own, update).await?;
    warn_of_vacated(caller, &vacated);
    Ok(group)
}

/// Moves a group below another one, or to the top, for its owner, who has `seen` its `values`.
///
/// # Errors
/// The caller is no owner of both, or no administrator for the top; the move is not possible; or the values are not
/// those that were seen any more.
pub(in crate::http) async fn move_seen(
    caller: &Caller,
    id: GroupId,
    parent: Option<GroupId>,
    (seen, values): (Seen, fn(&Group) -> Vec<SeenValue>),
) -> Result<Group, ApiError> {
    let owned = owner_of(id);
    let own = caller.may(move |caller| {
        let id = owned(caller)?;
        may_create_in(caller, parent.map(|parent| parent.0)).map(|()| id)
    })?;
    let transfer = move |caller: &Authority<'_>, id| {
        let present = caller.directory.group(id).map(|group| values(group)).unwrap_or_default();
        let upstreams = caller.state.upstreams.load();
        let edit = edit::transfer(caller.directory, &upstreams, (id, parent), caller.user.id, &caller.terms());
        with_vacated(caller.directory, seen.unchanged(present, edit, values))
    };
    let (group, vacated) = caller.change("group transferred", own, transfer).await?;
    warn_of_vacated(caller, &vacated);
    Ok(group)
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
    let deleted = caller.change("group deleted", own, delete).await?;
    clear_deleted(&caller, deleted).await;
    Ok(Body(Message::ACCEPTED))
}

/// Deletes a group, if what goes with it has this `mark`.
///
/// # Errors
/// The caller is no owner, or something else would go.
pub(in crate::http) async fn delete_confirmed(caller: &Caller, id: GroupId, mark: String) -> Result<(), ApiError> {
    let own = caller.may(owner_of(id))?;
    let delete = move |caller: &Authority<'_>, id| {
        let change = edit::delete(caller.directory, id, caller.now);
        let change = losses::confirmed(&mark, change, |writes| losses::with_group(caller, writes, id));
        with_vacated(caller.directory, change)
    };
    let deleted = caller.change("group deleted", own, delete).await?;
    clear_deleted(caller, deleted).await;
    Ok(())
}

/// Returns what goes with a group that is deleted, and what it and the groups below it have cached; `None` if that
/// cannot be read.
///
/// # Errors
/// There is no such group.
pub(in crate::http) async fn deletion(caller: &Caller, id: GroupId) -> Result<(Lost, Option<Holdings>), ApiError> {
    let authority = caller.authority();
    let (writes, groups) = edit::delete(authority.directory, id, authority.now)?;
    let lost = Lost::of(&authority, &losses::with_group(&authority, &writes, id));
    Ok((lost, caller.state.janitor.holdings(groups).await))
}

/// Removes what groups have cached that were deleted, and warns about accounts that are kept for their paths.
async fn clear_deleted(caller: &Caller, (deleted, vacated): (Vec<GroupId>, Vec<GroupPath>)) {
    warn_of_vacated(caller, &vacated);
    for group in deleted {
        // The group is gone already. Each replica removes what it has cached for it.
        if let Err(error) = caller.state.janitor.purge(group).await {
            tracing::warn!(group_id = group.0, %error, "the cache of a deleted group could not be removed everywhere yet");
        }
    }
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
