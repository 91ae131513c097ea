//! Moves of groups: to another group above them, or to another path below the same one. All groups below move along.
//! A group that comes to the top without an owner of its own gets the user who moves it, as in GitLab.

use std::sync::Arc;

use jiff::Timestamp;

use super::{check_account, check_free, check_not_wider, child_path, find, within};
use crate::domain::access::{AccessLevel, Membership};
use crate::domain::commands::{ChangeBuilder, CommandError, CommandResult, Terms, check_number};
use crate::domain::directory::{Directory, Record};
use crate::domain::group::{Group, GroupPath};
use crate::domain::id::{GroupId, UserId};
use crate::domain::upstream::Upstreams;

/// Moves a group below another one, or to the top if `parent` is `None`, on behalf of the user `by`.
///
/// # Errors
/// Fails if a group does not exist, the group is there already, or the other one is the group itself or below it; if
/// the group is more visible than the other one; if the path is taken or too long; if a limit is reached; or if a path
/// would give the use of an account and the user is no administrator.
pub fn transfer(
    directory: &Directory,
    upstreams: &Upstreams,
    (id, parent): (GroupId, Option<GroupId>),
    by: UserId,
    terms: &Terms<'_>,
) -> CommandResult<Group> {
    let old = find(directory, id)?;
    let parent = parent.map(|parent| find(directory, parent)).transpose()?;
    check_place(old, parent)?;
    check_not_wider(old.visibility, parent)?;
    parent.map_or(Ok(()), |parent| check_room(directory, terms, old, parent))?;
    let path = child_path(upstreams, parent.map(|parent| &parent.path), old.path.last_part())?;
    let group = Group { path, parent: parent.map(|parent| parent.id), ..Group::clone(old) };
    let mut builder = ChangeBuilder::of(directory);
    move_paths(directory, upstreams, &mut builder, (old, &group.path), by)?;
    builder.put(Record::Group(group.clone()));
    if parent.is_none() && !directory.members(id).any(|member| member.level == AccessLevel::Owner) {
        builder.put(Record::Membership(owner(id, by, terms.now)));
    }
    Ok(builder.finish(group))
}

/// Adds to a change the new paths of the groups below `old`, which gets the path `to`.
///
/// # Errors
/// Fails if a path is taken or too long, or would give the use of an account and the user is no administrator.
pub(super) fn move_paths(
    directory: &Directory,
    upstreams: &Upstreams,
    builder: &mut ChangeBuilder,
    (old, to): (&Group, &GroupPath),
    by: UserId,
) -> Result<(), CommandError> {
    for group in within(directory, &old.path) {
        let path = moved_path(&group.path, &old.path, to)?;
        check_account(directory, upstreams, by, Some(&group.path), &path)?;
        if group.id != old.id {
            builder.put(Record::Group(Group { path, ..Group::clone(group) }));
        }
    }
    check_free(directory, to, Some(old.id))
}

/// Returns the new path of a group at `path`, which is `from` or below it, when `from` becomes `to`.
fn moved_path(path: &GroupPath, from: &GroupPath, to: &GroupPath) -> Result<GroupPath, CommandError> {
    let below = &path.as_str()[from.as_str().len()..];
    let moved = format!("{to}{below}").parse();
    moved.map_err(|_| CommandError::invalid("path", "is too long for the groups below it"))
}

fn check_place(group: &Group, parent: Option<&Arc<Group>>) -> Result<(), CommandError> {
    match parent {
        None if group.parent.is_none() => {
            Err(CommandError::invalid("group_id", "is none already: the group is at the top"))
        }
        Some(parent) if group.parent == Some(parent.id) => {
            Err(CommandError::invalid("group_id", "is above the group already"))
        }
        Some(parent) if parent.path.is_within(&group.path) => {
            Err(CommandError::invalid("group_id", "is the group itself, or below it"))
        }
        _ => Ok(()),
    }
}

/// Checks that a group with all groups below it fits below `parent`, by number and depth.
fn check_room(directory: &Directory, terms: &Terms<'_>, group: &Group, parent: &Group) -> Result<(), CommandError> {
    let depth = |group: &Group| directory.lineage(group.id).count();
    let height = within(directory, &group.path).map(|below| depth(below) + 1 - depth(group)).max().unwrap_or(1);
    if depth(parent) + height > terms.limits.max_group_depth.get() {
        return Err(CommandError::invalid("group_id", "has too deep level of nesting"));
    }
    let top = directory.lineage(parent.id).last().map_or(&parent.path, |top| &top.path);
    let added = if group.path.is_within(top) { 0 } else { within(directory, &group.path).count() };
    // `check_number` checks the number for one more.
    match added {
        0 => Ok(()),
        added => check_number("subgroups", within(directory, top).count() + added - 2, terms.limits.max_subgroups),
    }
}

/// Returns the membership of a user who owns a group without end.
pub(super) fn owner(group: GroupId, user: UserId, now: Timestamp) -> Membership {
    Membership { group, user, level: AccessLevel::Owner, expires_at: None, created_at: now, made_by: None }
}
