//! Commands that grant, change and remove memberships. Callers have verified that only owners and administrators get
//! here. Since owner is the highest level, nobody can grant more than they have.

use std::sync::Arc;

use jiff::Timestamp;

use super::maker::{Maker, end_of_membership, is_later};
use super::{ChangeBuilder, CommandError, CommandResult, Resource, Terms, check_number};
use crate::domain::access::{AccessLevel, Membership};
use crate::domain::directory::{Directory, Record, RecordKey};
use crate::domain::id::{GroupId, UserId};
use crate::domain::policy;

/// The input for a new membership.
#[derive(Clone, Copy, Debug)]
pub struct NewMember {
    /// The group.
    pub group: GroupId,
    /// The user who becomes a member.
    pub user: UserId,
    /// The access level in the group.
    pub level: AccessLevel,
    /// The end; `None`: it has no end.
    pub expires_at: Option<Timestamp>,
}

/// Makes a user a member of a group.
///
/// # Errors
/// Fails if the group or user does not exist, the user is a bot or a member already, the limit is reached, the level
/// is below an inherited one, or the end is later than that of the maker.
pub fn add(directory: &Directory, new: NewMember, terms: &Terms<'_>) -> CommandResult<Membership> {
    directory.group(new.group).ok_or(CommandError::Missing(Resource::Group))?;
    let user = directory.user(new.user).ok_or(CommandError::Missing(Resource::User))?;
    if user.bot_of.is_some() {
        return Err(CommandError::invalid("user", "cannot be added: it is the bot of a group access token"));
    }
    if directory.membership(new.group, new.user).is_some() {
        return Err(CommandError::Conflict { field: Some("username"), text: "Member already exists" });
    }
    let NewMember { group, user, level, expires_at } = new;
    let person = |member: &&Arc<Membership>| directory.user(member.user).is_some_and(|user| user.bot_of.is_none());
    check_number("members", directory.members(group).filter(person).count(), terms.limits.max_members)?;
    let maker = terms.maker.of_membership(directory, group, terms.now);
    let expires_at = end_of_membership(maker, expires_at)?;
    let new = Membership { group, user, level, expires_at, created_at: terms.now, made_by: maker.token() };
    check(directory, &new, terms.now)?;
    put(directory, new)
}

/// The changes to a membership; `None` leaves a field unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberChange {
    /// The access level.
    pub level: Option<AccessLevel>,
    /// The end; `Some(None)`: it has no end.
    pub expires_at: Option<Option<Timestamp>>,
}

/// Changes a membership. If a group access token raises or prolongs it, or a user whose ownership rests on such a
/// token, it becomes one that the token granted; if anybody else changes it, it no longer depends on a token.
///
/// # Errors
/// Fails if the membership does not exist, belongs to the last owner and would not stay an ownership without an end,
/// or would exceed the rights or the end of the maker.
pub fn update(
    directory: &Directory,
    group: GroupId,
    user: UserId,
    change: MemberChange,
    terms: &Terms<'_>,
) -> CommandResult<Membership> {
    let old = directory.membership(group, user).ok_or(CommandError::Missing(Resource::Member))?;
    let mut new = Membership::clone(old);
    new.level = change.level.unwrap_or(old.level);
    new.expires_at = change.expires_at.unwrap_or(old.expires_at);
    match terms.maker.of_membership(directory, group, terms.now) {
        Maker::Unbound => new.made_by = None,
        maker @ Maker::Token { .. } => {
            let prolonged = is_later(new.expires_at, old.expires_at);
            if prolonged && maker != terms.maker && old.made_by == maker.token() {
                return Err(CommandError::Refused(RESTS_ON_TOKEN));
            }
            if new.level > old.level || prolonged {
                if directory.user(user).is_some_and(|user| user.bot_of.is_some()) {
                    return Err(CommandError::Refused(
                        "A group access token cannot raise or prolong the membership of another",
                    ));
                }
                new.expires_at = end_of_membership(maker, new.expires_at)?;
                new.made_by = maker.token();
            }
        }
    }
    let stays_owner = new.level == AccessLevel::Owner && new.expires_at.is_none();
    if !stays_owner && is_last_owner(directory, old, terms.now) {
        return Err(LAST_OWNER);
    }
    check(directory, &new, terms.now)?;
    put(directory, new)
}

/// Removes a membership.
///
/// # Errors
/// Fails if it does not exist, is that of the last owner, or is that of a token's bot, which ends only with the
/// token.
pub fn remove(directory: &Directory, group: GroupId, user: UserId, now: Timestamp) -> CommandResult<()> {
    let member = directory.membership(group, user).ok_or(CommandError::Missing(Resource::Member))?;
    if directory.user(user).is_some_and(|user| user.bot_of.is_some()) {
        return Err(CommandError::Refused("This member is the bot of a group access token. Revoke the token instead"));
    }
    if is_last_owner(directory, member, now) {
        return Err(LAST_OWNER);
    }
    let mut builder = ChangeBuilder::of(directory);
    builder.remove(RecordKey::Membership(group, user));
    Ok(builder.finish(()))
}

const RESTS_ON_TOKEN: &str =
    "This membership was given by a group access token, as was your own; another owner can prolong it";

const LAST_OWNER: CommandError =
    CommandError::Refused("The last owner of a group cannot be removed or demoted, nor given an expiry date");

/// Returns true if this membership is the one that keeps its group from having no owner: no other person owns the
/// group or a group above it.
pub fn is_last_owner(directory: &Directory, member: &Membership, now: Timestamp) -> bool {
    let owns = |other: &Membership| other.level == AccessLevel::Owner && other.is_active(now);
    let person = |id| directory.user(id).is_some_and(|user| user.bot_of.is_none() && !user.blocked);
    let other = |other: &Membership| other.user != member.user && owns(other) && person(other.user);
    let own_above = |other: &Membership| other.user == member.user && other.group != member.group && owns(other);
    let mut around = directory.lineage(member.group).flat_map(|group| directory.members(group.id));
    owns(member) && person(member.user) && !around.any(|candidate| other(candidate) || own_above(candidate))
}

fn check(directory: &Directory, new: &Membership, now: Timestamp) -> Result<(), CommandError> {
    let parent = directory.group(new.group).and_then(|group| group.parent);
    let inherited = parent.and_then(|parent| policy::access_level(directory, new.user, parent, now));
    if inherited > Some(new.level) {
        let reason = "should be greater than or equal to the one inherited from a group above";
        return Err(CommandError::invalid("access_level", reason));
    }
    Ok(())
}

fn put(directory: &Directory, member: Membership) -> CommandResult<Membership> {
    let mut builder = ChangeBuilder::of(directory);
    builder.put(Record::Membership(member.clone()));
    Ok(builder.finish(member))
}
