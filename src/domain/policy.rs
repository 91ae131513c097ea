//! The access rules, as pure functions over a [`Directory`]:
//!
//! - A credential counts while it is active: not revoked, not expired, not deleted, and its user not blocked.
//! - To log in to the registry a token needs the scope `api`, or both scopes of a pair; a deploy token needs a pair.
//! - A user can pull from a group as a member of it or of a group above it, or as an administrator. The group's
//!   visibility makes no difference, unless `public_groups` opens public groups to more users.
//! - A group token or a deploy token can pull from its own group and the groups below it, and from nothing else; a
//!   group token only while the membership of its bot lasts.
//! - Where the proxy is switched off, in the group or in a group above it, the refusal states this only to those who
//!   could pull otherwise. To everybody else the group looks like one that does not exist.

mod identity;
mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use self::identity::Identity;
pub use self::refusal::{PullDenial, Refusal};

use super::access::{AccessLevel, Membership};
use super::directory::{Credential, Directory};
use super::group::{Group, GroupPath, Visibility};
use super::id::{GroupId, TokenId, UserId};
use super::token::{Token, TokenOwner};
use super::user::User;

/// The group of a pull that was allowed.
#[derive(Clone, Debug)]
pub struct PullGrant {
    /// The group that pulls.
    pub group: Arc<Group>,
    /// True for a caller who may pull only because the group is public.
    pub is_stranger: bool,
}

/// The users who may pull from a group with public visibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicGroups {
    /// Members only, as for any other group.
    #[default]
    Members,
    /// Every authenticated user.
    SignedIn,
    /// Everyone, including anonymous callers.
    Anyone,
}

/// Returns the identity that this credential proves.
///
/// # Errors
/// Fails if the credential is not active at this time, with the reason.
pub fn identify(directory: &Directory, credential: Credential, now: Timestamp) -> Result<Identity, Refusal> {
    match credential {
        Credential::Password(user) => {
            let user = unblocked(user)?;
            let id = user.password.as_ref().map(|password| password.credential).ok_or(Refusal::Gone)?;
            Ok(Identity::User(user, id))
        }
        Credential::OldSecret(old) if has_outlived(directory, &old, now) => {
            Err(Refusal::Replaced { name: old.name.clone(), on: date(old.expires_at.unwrap_or(now)) })
        }
        Credential::Token(token) | Credential::OldSecret(token) => identify_token(directory, token, now),
        Credential::Deleted(stone) => {
            let (name, on) = (stone.name.clone(), date(stone.deleted_at));
            Err(match has_active_successor(directory, stone.replaced_by, now) {
                true => Refusal::Replaced { name, on },
                false => Refusal::Revoked { name, on },
            })
        }
    }
}

/// Returns true if the token is still active, but the old secret, through which `old` was found, has ended.
fn has_outlived(directory: &Directory, old: &Token, now: Timestamp) -> bool {
    !old.is_active(now) && directory.token(old.id).is_some_and(|token| token.is_active(now))
}

/// Returns true if the token that replaced a secret, through any number of rotations, is active: its user needs the new
/// secret, not a new token.
fn has_active_successor(directory: &Directory, mut next: Option<TokenId>, now: Timestamp) -> bool {
    while let Some(token) = next.and_then(|id| directory.token(id)) {
        if token.is_active(now) {
            return true;
        }
        // A replacement has a higher number, so that this ends whatever a restored backup contains.
        next = token.replaced_by.filter(|by| *by > token.id);
    }
    false
}

fn identify_token(directory: &Directory, token: Arc<Token>, now: Timestamp) -> Result<Identity, Refusal> {
    if let Some(at) = token.revoked_at {
        let (name, on) = (token.name.clone(), date(at));
        return Err(match has_active_successor(directory, token.replaced_by, now) {
            true => Refusal::Replaced { name, on },
            false => Refusal::Revoked { name, on },
        });
    }
    if let Some(at) = token.expires_at.filter(|_| !token.is_active(now)) {
        return Err(Refusal::Expired { name: token.name.clone(), on: date(at), remedy: remedy(directory, &token) });
    }
    match token.owner {
        TokenOwner::Deploy { .. } => Ok(Identity::DeployToken(token)),
        TokenOwner::Personal { user } | TokenOwner::Group { bot: user, .. } => {
            let user = directory.user(user).cloned().ok_or(Refusal::Gone)?;
            Ok(Identity::UserToken(token, unblocked(user)?))
        }
    }
}

/// Checks that the scopes of this identity allow pulling at all.
///
/// # Errors
/// Fails with [`Refusal::Scopes`] for a token whose scopes do not.
pub fn check_pull_scopes(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::UserToken(token, _) | Identity::DeployToken(token) if !token.may_pull() => {
            Err(Refusal::Scopes { name: token.name.clone(), scopes: token.scopes.clone() })
        }
        Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Ok(()),
    }
}

/// Checks that this identity may pull from the group at `path` at this time; returns the group.
///
/// # Errors
/// Fails if the group does not exist, the identity has no right to it, or the proxy is switched off there.
pub fn pull_grant(
    directory: &Directory,
    identity: &Identity,
    path: &GroupPath,
    public: PublicGroups,
    now: Timestamp,
) -> Result<PullGrant, PullDenial> {
    let found = directory.group_at(path).and_then(|group| {
        let is_stranger = !belongs(directory, identity, group, now);
        (!is_stranger || is_open(identity, group, public)).then_some((group, is_stranger))
    });
    match found {
        Some((group, is_stranger)) if proxy_enabled(directory, group.id) => {
            Ok(PullGrant { group: group.clone(), is_stranger })
        }
        Some((group, _)) => Err(PullDenial::SwitchedOff { group: group.path.clone() }),
        None => Err(PullDenial::NotForThem { group: path.clone(), who: identity.who() }),
    }
}

/// Returns true for members of the group and of the groups above it, their tokens, and administrators.
fn belongs(directory: &Directory, identity: &Identity, group: &Group, now: Timestamp) -> bool {
    match identity {
        Identity::Nobody => false,
        Identity::DeployToken(token) => is_of(directory, token, group.id),
        Identity::UserToken(token, bot) if token.group().is_some() => {
            is_of(directory, token, group.id) && is_member(directory, token, bot.id, now)
        }
        Identity::User(user, _) | Identity::UserToken(_, user) => {
            user.admin || access_level(directory, user.id, group.id, now).is_some()
        }
    }
}

/// Returns true if the visibility of the group suffices to pull. Tokens of groups pull from their own only.
fn is_open(identity: &Identity, group: &Group, public: PublicGroups) -> bool {
    let suffices = match identity {
        Identity::Nobody => public == PublicGroups::Anyone,
        Identity::DeployToken(_) => false,
        Identity::UserToken(token, _) if token.group().is_some() => false,
        Identity::User(..) | Identity::UserToken(..) => public != PublicGroups::Members,
    };
    suffices && group.visibility == Visibility::Public
}

/// Returns true if a group's token is one of this group, or of a group above it.
pub(super) fn is_of(directory: &Directory, token: &Token, group: GroupId) -> bool {
    directory.lineage(group).any(|above| Some(above.id) == token.group())
}

/// Returns true if the membership of a group token's bot is active. An owner of the group can end it before the token
/// ends.
pub(super) fn is_member(directory: &Directory, token: &Token, bot: UserId, now: Timestamp) -> bool {
    let membership = token.group().and_then(|group| directory.membership(group, bot));
    membership.is_some_and(|membership| membership.is_active(now))
}

/// Returns the user's access level in a group: the highest of the active memberships of the group and of the groups
/// above it.
pub fn access_level(directory: &Directory, user: UserId, group: GroupId, now: Timestamp) -> Option<AccessLevel> {
    directory
        .lineage(group)
        .filter_map(|group| directory.membership(group.id, user))
        .filter(|membership| membership.is_active(now))
        .map(|membership| membership.level)
        .max()
}

/// Returns the active members of a group, each with the highest of the memberships in it and in the groups above.
pub fn members(directory: &Directory, group: GroupId, now: Timestamp) -> BTreeMap<UserId, Arc<Membership>> {
    let mut members: BTreeMap<UserId, Arc<Membership>> = BTreeMap::new();
    let around = directory.lineage(group).flat_map(|group| directory.members(group.id));
    for member in around.filter(|member| member.is_active(now)) {
        let highest = members.entry(member.user).or_insert_with(|| member.clone());
        if member.level > highest.level {
            *highest = member.clone();
        }
    }
    members
}

/// Returns true if the proxy is on in this group: the nearest group with a switch decides, starting with the group
/// itself.
pub fn proxy_enabled(directory: &Directory, group: GroupId) -> bool {
    directory.lineage(group).find_map(|group| group.proxy_enabled).unwrap_or(true)
}

/// Returns the number of days after its last pull after which an image of this group is removed; `None`: never. The
/// nearest group with a number of its own decides, starting with the group itself, and else `default`. 0 is never.
pub fn unpulled_days(directory: &Directory, group: GroupId, default: u32) -> Option<u32> {
    let days = directory.lineage(group).find_map(|group| group.cache.unpulled_days).unwrap_or(default);
    Some(days).filter(|days| *days > 0)
}

fn unblocked(user: Arc<User>) -> Result<Arc<User>, Refusal> {
    if user.blocked { Err(Refusal::Blocked { username: user.username.to_string() }) } else { Ok(user) }
}

fn remedy(directory: &Directory, token: &Token) -> String {
    match token.group().and_then(|group| directory.group(group)) {
        Some(group) => format!("An owner of '{}' can rotate it", group.path),
        None => "Its user can make a new one".to_owned(),
    }
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests;
