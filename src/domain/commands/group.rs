//! Commands that create, change and delete groups, with everything below them.
//!
//! Accounts at upstreams are reserved by group path. Only an administrator may therefore give a group, or one below it,
//! a path that brings a new account. This holds for creation, renaming and moving. Owners may choose any path below a
//! group that has the account already: it brings no other.
//!
//! A path is reserved whether or not a group exists there, so it stays reserved after a deletion. Accounts are not tied
//! to the numbers of groups, because an administrator who deletes a group and creates it again, as provisioning does,
//! expects it to have the same accounts.

mod transfer;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use self::transfer::transfer;
use self::transfer::{move_paths, owner};
use super::{
    ChangeBuilder, CommandError, CommandResult, Resource, Terms, check_length, check_lines, check_name, check_number,
};
use crate::domain::access::AccessLevel;
use crate::domain::directory::{Directory, Record, RecordKey};
use crate::domain::group::{Group, GroupCacheLimits, GroupPath, Visibility};
use crate::domain::id::{GroupId, UserId};
use crate::domain::limits::{Limits, MAX_GROUP_DESCRIPTION_CHARS, MAX_NAME_CHARS};
use crate::domain::policy;
use crate::domain::upstream::Upstreams;

/// Maximum quota of a group, in bytes: an exabyte. A form can show it without rounding it to something else.
pub const MAX_CACHE_BYTES: u64 = 1_000_000_000_000_000_000;

/// Maximum number of days after its last pull after which an image is removed: a hundred years.
pub const MAX_UNPULLED_DAYS: u32 = 36_500;

/// Maximum time to live of the tags that a group pulls, in seconds: a year.
pub const MAX_TAG_FRESHNESS_SECONDS: u32 = 365 * 24 * 60 * 60;

/// The input for a new group.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// The display name.
    pub name: String,
    /// The last part of its path.
    pub path: String,
    /// The description.
    pub description: String,
    /// The parent group; `None` for a top-level group.
    pub parent: Option<GroupId>,
    /// The visibility, at most that of the parent group. `None`: the same as the parent group, and private for a
    /// top-level group.
    pub visibility: Option<Visibility>,
    /// The user who creates the group, who becomes an owner unless already an owner of a group above.
    pub creator: UserId,
}

/// The changes to a group; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// The display name.
    pub name: Option<String>,
    /// The last part of its path; all groups below move along.
    pub path: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The visibility, at most that of the parent group and at least that of each group directly below.
    pub visibility: Option<Visibility>,
    /// The switch of the proxy; `Some(None)`: as in the parent group.
    pub proxy_enabled: Option<Option<bool>>,
    /// Maximum size of what the group caches, in bytes, 1 to [`MAX_CACHE_BYTES`]; `Some(None)`: none of its own.
    pub max_cache_bytes: Option<Option<u64>>,
    /// Number of days after its last pull after which an image is removed, at most [`MAX_UNPULLED_DAYS`]; `Some(None)`:
    /// as in the parent group.
    pub unpulled_days: Option<Option<u32>>,
    /// Time to live of the tags that the group pulls, in seconds, at most [`MAX_TAG_FRESHNESS_SECONDS`]; `Some(None)`:
    /// as in the parent group.
    pub tag_freshness_seconds: Option<Option<u32>>,
}

/// Creates a group.
///
/// # Errors
/// Fails if the path is taken, reserved or, for a top-level group, the name of an upstream; if it would give the use
/// of an account and the creator is no administrator; if a limit is reached; or if the parent does not exist or a
/// field is not valid.
pub fn create(directory: &Directory, upstreams: &Upstreams, new: NewGroup, terms: &Terms<'_>) -> CommandResult<Group> {
    let now = terms.now;
    let parent = match new.parent {
        Some(id) => Some(find(directory, id)?),
        None => None,
    };
    let path = child_path(upstreams, parent.map(|parent| &parent.path), &new.path)?;
    check_account(directory, upstreams, new.creator, parent.map(|parent| &parent.path), &path)?;
    check_free(directory, &path, None)?;
    parent.map_or(Ok(()), |parent| check_room(directory, terms.limits, parent))?;
    check_text(&new.name, &new.description)?;
    let inherited = parent.map_or(Visibility::Private, |parent| parent.visibility);
    let visibility = new.visibility.unwrap_or(inherited);
    check_not_wider(visibility, parent)?;
    let mut builder = ChangeBuilder::of(directory);
    let group = Group {
        id: builder.next_group(),
        name: new.name,
        path,
        description: new.description,
        parent: new.parent,
        visibility,
        proxy_enabled: None,
        created_at: now,
        cache: GroupCacheLimits::default(),
        upstream_accounts: BTreeMap::new(),
    };
    builder.put(Record::Group(group.clone()));
    let level = new.parent.and_then(|parent| policy::access_level(directory, new.creator, parent, now));
    if level < Some(AccessLevel::Owner) && directory.user(new.creator).is_some() {
        builder.put(Record::Membership(owner(group.id, new.creator, now)));
    }
    Ok(builder.finish(group))
}

/// Changes a group on behalf of the user `by`.
///
/// # Errors
/// Fails as [`create`] does, and if a group below would be more visible or get a path that is too long.
pub fn update(
    directory: &Directory,
    upstreams: &Upstreams,
    id: GroupId,
    change: GroupChange,
    by: UserId,
) -> CommandResult<Group> {
    let old = find(directory, id)?;
    let parent = old.parent.and_then(|parent| directory.group(parent));
    let mut group = Group::clone(old);
    let mut builder = ChangeBuilder::of(directory);
    if let Some(visibility) = change.visibility {
        check_not_wider(visibility, parent)?;
        check_covers_children(directory, id, visibility)?;
        group.visibility = visibility;
    }
    if let Some(part) = change.path.as_ref().filter(|part| !part.eq_ignore_ascii_case(old.path.last_part())) {
        group.path = child_path(upstreams, parent.map(|parent| &parent.path), part)?;
    }
    group.name = change.name.unwrap_or(group.name);
    group.description = change.description.unwrap_or(group.description);
    group.proxy_enabled = change.proxy_enabled.unwrap_or(group.proxy_enabled);
    group.cache = GroupCacheLimits {
        max_bytes: change.max_cache_bytes.unwrap_or(group.cache.max_bytes),
        unpulled_days: change.unpulled_days.unwrap_or(group.cache.unpulled_days),
        tag_freshness_seconds: change.tag_freshness_seconds.unwrap_or(group.cache.tag_freshness_seconds),
    };
    CommandError::of_fields([check_text(&group.name, &group.description), check_cache(group.cache)])?;
    if group.path != old.path {
        move_paths(directory, upstreams, &mut builder, (old, &group.path), by)?;
    }
    builder.put(Record::Group(group.clone()));
    Ok(builder.finish(group))
}

/// Deletes a group and all groups below it, with their members, bots and tokens, which leave tombstones. Returns the
/// deleted groups.
///
/// # Errors
/// Fails if the group does not exist.
pub fn delete(directory: &Directory, id: GroupId, now: Timestamp) -> CommandResult<Vec<GroupId>> {
    let top = find(directory, id)?;
    let groups: Vec<GroupId> = within(directory, &top.path).map(|group| group.id).collect();
    let is_deleted = |group: Option<GroupId>| group.is_some_and(|group| groups.contains(&group));
    let mut builder = ChangeBuilder::of(directory);
    let mut tokens = HashSet::new();
    // Bots go with their tokens and memberships.
    let is_bot = |user: UserId| directory.user(user).is_some_and(|user| is_deleted(user.bot_of));
    for token in directory.tokens().filter(|token| is_deleted(token.group()) && !token.user().is_some_and(is_bot)) {
        builder.delete_token(directory, token, now);
        tokens.insert(token.id);
    }
    for member in groups.iter().flat_map(|group| directory.members(*group)) {
        if !is_bot(member.user) {
            builder.remove(RecordKey::Membership(member.group, member.user));
        }
    }
    for bot in directory.users().filter(|user| is_deleted(user.bot_of)) {
        builder.delete_user(directory, bot.id, now);
    }
    builder.end_tokens_created_by(directory, tokens, now);
    for group in &groups {
        builder.remove(RecordKey::Group(*group));
    }
    Ok(builder.finish(groups))
}

/// Returns the group at this path and all groups below it.
pub fn within<'a>(directory: &'a Directory, path: &'a GroupPath) -> impl Iterator<Item = &'a Arc<Group>> {
    directory.groups().filter(move |group| group.path.is_within(path))
}

pub(super) fn find(directory: &Directory, id: GroupId) -> Result<&Arc<Group>, CommandError> {
    directory.group(id).ok_or(CommandError::Missing(Resource::Group))
}

fn child_path(upstreams: &Upstreams, parent: Option<&GroupPath>, part: &str) -> Result<GroupPath, CommandError> {
    let like_upstream = |name: &str| {
        let host = name.split_once(':').map_or(name, |(host, _)| host);
        part.eq_ignore_ascii_case(name) || part.eq_ignore_ascii_case(host)
    };
    // `HOST/docker.io/library/alpine` is an image whose group was left out. Below the top level no route begins with
    // such a name.
    if parent.is_none() && upstreams.names().any(|name| like_upstream(name.as_str())) {
        return Err(CommandError::invalid("path", format!("'{part}' is the name of an upstream")));
    }
    check_length("path", part, MAX_NAME_CHARS)?;
    let path = match parent {
        Some(parent) => parent.child(part),
        None if part.contains('/') => Err(crate::domain::group::GroupPathError::Malformed),
        None => part.parse(),
    };
    let new = path.and_then(|path| path.check_new().map(|()| path));
    new.map_err(|error| CommandError::invalid("path", error.to_string()))
}

/// Checks that one more group can be created below `parent`, by number and depth.
fn check_room(directory: &Directory, limits: &Limits, parent: &Group) -> Result<(), CommandError> {
    if directory.lineage(parent.id).count() >= limits.max_group_depth.get() {
        return Err(CommandError::invalid("parent_id", "has too deep level of nesting"));
    }
    let top = directory.lineage(parent.id).last().map_or(&parent.path, |top| &top.path);
    check_number("subgroups", within(directory, top).count() - 1, limits.max_subgroups)
}

fn check_free(directory: &Directory, path: &GroupPath, own: Option<GroupId>) -> Result<(), CommandError> {
    match directory.group_at(path) {
        Some(group) if Some(group.id) != own => Err(CommandError::invalid("path", "has already been taken")),
        _ => Ok(()),
    }
}

fn check_text(name: &str, description: &str) -> Result<(), CommandError> {
    CommandError::of_fields([check_name(name), check_lines("description", description, MAX_GROUP_DESCRIPTION_CHARS)])
}

fn check_cache(limits: GroupCacheLimits) -> Result<(), CommandError> {
    let at_most = |field, value: Option<u64>, max: u64| match value {
        Some(value) if value > max => Err(CommandError::invalid(field, format!("must be less than or equal to {max}"))),
        _ => Ok(()),
    };
    let bytes = match limits.max_bytes {
        Some(0) => Err(CommandError::invalid("dependency_proxy_max_bytes", "must be greater than 0")),
        bytes => at_most("dependency_proxy_max_bytes", bytes, MAX_CACHE_BYTES),
    };
    let (days, seconds) = (limits.unpulled_days.map(u64::from), limits.tag_freshness_seconds.map(u64::from));
    let days = at_most("dependency_proxy_unpulled_days", days, MAX_UNPULLED_DAYS.into());
    let seconds = at_most("dependency_proxy_tag_freshness_seconds", seconds, MAX_TAG_FRESHNESS_SECONDS.into());
    CommandError::of_fields([bytes, days, seconds])
}

fn check_not_wider(visibility: Visibility, parent: Option<&Arc<Group>>) -> Result<(), CommandError> {
    match parent {
        Some(parent) if visibility > parent.visibility => Err(CommandError::invalid(
            "visibility_level",
            format!("{visibility} is not allowed since the parent group has a {} visibility.", parent.visibility),
        )),
        _ => Ok(()),
    }
}

fn check_covers_children(directory: &Directory, id: GroupId, visibility: Visibility) -> Result<(), CommandError> {
    let wider = |group: &Arc<Group>| group.parent == Some(id) && group.visibility > visibility;
    if directory.groups().any(wider) {
        let reason = format!("{visibility} is not allowed since there are sub-groups with higher visibility.");
        return Err(CommandError::invalid("visibility_level", reason));
    }
    Ok(())
}

/// Checks that the user is an administrator if the path `to` gives the use of an account that `from` does not.
fn check_account(
    directory: &Directory,
    upstreams: &Upstreams,
    by: UserId,
    from: Option<&GroupPath>,
    to: &GroupPath,
) -> Result<(), CommandError> {
    let administrator = directory.user(by).is_some_and(|user| user.admin);
    if !administrator && upstreams.gives_account(from, to) { Err(CommandError::Forbidden) } else { Ok(()) }
}
