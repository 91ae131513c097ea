//! Numbers of what a group has, as its tabs show them.

use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::domain::policy;

/// Returns the number of the tokens of a group that are not revoked.
pub(super) fn tokens(visitor: &Visitor, group: &Group) -> u64 {
    let tokens = visitor.caller.directory.tokens();
    tokens.filter(|token| token.revoked_at.is_none() && token.group() == Some(group.id)).count() as u64
}

/// Returns the number of people who are members of a group or of those above it.
pub(super) fn members(visitor: &Visitor, group: &Group) -> u64 {
    let directory = &visitor.caller.directory;
    let members = policy::members(directory, group.id, visitor.caller.now).into_values();
    members.filter(|member| directory.user(member.user).is_some_and(|user| user.bot_of.is_none())).count() as u64
}
