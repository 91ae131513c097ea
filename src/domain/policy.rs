//! Who may do what. The rules, all of them pure functions over a [`Directory`]:
//!
//! - A credential counts while it is active: not revoked, not expired, not deleted, its user not blocked.
//! - To log in to the registry a token needs `api`, or both scopes of a pair; a deploy token needs a pair.
//! - A user pulls from a group as a member of it or of a group above it, or as an administrator, whatever the group's
//!   visibility, unless `public_groups` opens public groups wider.
//! - A group token or a deploy token pulls from its own group and the groups below it, and from nothing else; a group token as long as
//!   the membership of its bot lasts.
//! - A group where the proxy is switched off, here or above, says so to whoever could pull from it otherwise; to
//!   everybody else it looks like one that does not exist.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::access::AccessLevel;
use super::directory::{Credential, Directory};
use super::group::{Group, GroupPath, Visibility};
use super::id::{CredentialId, GroupId, TokenId, UserId};
use super::scope::Scopes;
use super::token::{Token, TokenOwner};
use super::user::User;

/// Who is asking, as proved by an active credential.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Nobody in particular: may see what is open to everybody.
    Nobody,
    /// A user, by password.
    User(Arc<User>, CredentialId),
    /// A token of a user, or of the bot of a group.
    UserToken(Arc<Token>, Arc<User>),
    /// A deploy token.
    DeployToken(Arc<Token>),
}

/// Whose group this is, now that the pull was allowed.
#[derive(Clone, Debug)]
pub struct PullGrant {
    /// The group that pulls.
    pub group: Arc<Group>,
}

/// Who may pull from a group whose visibility is public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicGroups {
    /// Its members, as from any other.
    #[default]
    Members,
    /// Every user.
    SignedIn,
    /// Everyone, without a credential too.
    Anyone,
}

/// Why a credential does not count. The text is for the person who used it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such user, or not its password, or not a token of ours.
    #[error("Wrong username or password. With a token, use the token as the password")]
    Unknown,
    /// No token that is known, where a password is not verified.
    #[error("A password is accepted at a login only, at /jwt/auth. Log in first, or use a token as the password")]
    PasswordAtRegistry,
    /// It has the form of a token of GitLab.
    #[error("This is a GitLab token; this service has its own. Create a deploy token for the group here")]
    GitlabToken,
    /// A deploy token, with another user name than its own.
    #[error("Wrong username: the one of deploy token '{name}' is {username}")]
    Username {
        /// The token's name.
        name: String,
        /// The user name that goes with it.
        username: String,
    },
    /// It has the form of a token of ours, and this store has never seen it.
    #[error("This token was made by another instance, or after the backup that this one was restored from")]
    NeverSeen,
    /// A token whose time is over.
    #[error("Token '{name}' expired on {on}. {remedy}")]
    Expired {
        /// The token's name.
        name: String,
        /// The day from which on it no longer counts.
        on: Date,
        /// Who can help.
        remedy: String,
    },
    /// A secret that a rotation replaced, at once or after its overlap. The token has another one.
    #[error("Token '{name}' was rotated, and its old secret ended on {on}. Use the new secret")]
    Replaced {
        /// The token's name.
        name: String,
        /// The day from which on the old secret no longer counts.
        on: Date,
    },
    /// A token that was revoked or deleted.
    #[error("Token '{name}' was revoked on {on}")]
    Revoked {
        /// The token's name.
        name: String,
        /// The day on which that happened.
        on: Date,
    },
    /// The user is shut out.
    #[error("User {username} is blocked. An administrator can unblock it")]
    Blocked {
        /// The user's name.
        username: String,
    },
    /// A token that is not meant for pulling.
    #[error("Token '{name}' has the {noun} {scopes}; pulling needs read_registry and write_registry, or api", noun = if scopes.iter().count() == 1 { "scope" } else { "scopes" })]
    Scopes {
        /// The token's name.
        name: String,
        /// The scopes it has.
        scopes: Scopes,
    },
    /// A JWT for a password that has been changed, or for a credential that is long gone.
    #[error("This login is no longer valid. Log in again")]
    Gone,
}

/// Why a group cannot be pulled from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullDenial {
    /// It does not exist or is somebody else's: one answer for both.
    #[error(
        "Group '{group}' does not exist, or {who} is not a member of it. The group is what stands before /dependency_proxy/"
    )]
    NotForThem {
        /// The path that was requested.
        group: GroupPath,
        /// Who requested it.
        who: String,
    },
    /// The proxy is switched off there, for somebody who could pull from it otherwise.
    #[error("The dependency proxy is switched off for group '{group}'. An owner of the group can switch it on")]
    SwitchedOff {
        /// The group.
        group: GroupPath,
    },
}

impl Refusal {
    /// Whether the secret itself was wrong, as opposed to one that is known and no longer good.
    pub fn is_wrong_secret(&self) -> bool {
        matches!(self, Self::Unknown | Self::PasswordAtRegistry | Self::GitlabToken | Self::Username { .. })
    }
}

/// Who this credential stands for, if it is active now.
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

/// True where the token is active and its old secret, by which it is seen here, has ended.
fn has_outlived(directory: &Directory, old: &Token, now: Timestamp) -> bool {
    !old.is_active(now) && directory.token(old.id).is_some_and(|token| token.is_active(now))
}

/// True where the token by which rotations replaced a secret, one after another, is active: its user needs the new
/// secret, and no new token.
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
    match token.user() {
        None => Ok(Identity::DeployToken(token)),
        Some(id) => {
            let user = directory.user(id).cloned().ok_or(Refusal::Gone)?;
            Ok(Identity::UserToken(token, unblocked(user)?))
        }
    }
}

/// Whether this identity may use the registry at all: do its scopes allow pulling?
pub fn check_pull_scopes(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::UserToken(token, _) | Identity::DeployToken(token) if !token.may_pull() => {
            Err(Refusal::Scopes { name: token.name.clone(), scopes: token.scopes.clone() })
        }
        Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Ok(()),
    }
}

/// Whether this identity may pull from the group at `path` now.
pub fn pull_grant(
    directory: &Directory,
    identity: &Identity,
    path: &GroupPath,
    public: PublicGroups,
    now: Timestamp,
) -> Result<PullGrant, PullDenial> {
    let allowed = |group: &&Arc<Group>| may_pull(directory, identity, group, public, now);
    match directory.group_at(path).filter(allowed) {
        Some(group) if proxy_enabled(directory, group.id) => Ok(PullGrant { group: group.clone() }),
        Some(group) => Err(PullDenial::SwitchedOff { group: group.path.clone() }),
        None => Err(PullDenial::NotForThem { group: path.clone(), who: identity.who() }),
    }
}

fn may_pull(directory: &Directory, identity: &Identity, group: &Group, public: PublicGroups, now: Timestamp) -> bool {
    let open = group.visibility == Visibility::Public;
    match identity {
        Identity::Nobody => open && public == PublicGroups::Anyone,
        Identity::DeployToken(token) => is_of(directory, token, group.id),
        Identity::UserToken(token, bot) if token.group().is_some() => {
            is_of(directory, token, group.id) && is_member(directory, token, bot, now)
        }
        Identity::User(user, _) | Identity::UserToken(_, user) => {
            user.admin
                || (open && public != PublicGroups::Members)
                || access_level(directory, user.id, group.id, now).is_some()
        }
    }
}

fn is_of(directory: &Directory, token: &Token, group: GroupId) -> bool {
    directory.lineage(group).any(|above| Some(above.id) == token.group())
}

/// Whether the membership of a group token's bot counts: an owner of the group can let it end before the token.
fn is_member(directory: &Directory, token: &Token, bot: &User, now: Timestamp) -> bool {
    let membership = token.group().and_then(|group| directory.membership(group, bot.id));
    membership.is_some_and(|membership| membership.is_active(now))
}

/// The user's level in a group: the highest of the memberships of it and of the groups above it that count now.
pub fn access_level(directory: &Directory, user: UserId, group: GroupId, now: Timestamp) -> Option<AccessLevel> {
    directory
        .lineage(group)
        .filter_map(|group| directory.membership(group.id, user))
        .filter(|membership| membership.is_active(now))
        .map(|membership| membership.level)
        .max()
}

/// Whether the proxy is on in this group: as it says itself, or else the nearest group above that says anything.
pub fn proxy_enabled(directory: &Directory, group: GroupId) -> bool {
    directory.lineage(group).find_map(|group| group.proxy_enabled).unwrap_or(true)
}

impl Identity {
    /// The id of the credential that proved it.
    pub fn credential(&self) -> Option<CredentialId> {
        match self {
            Self::Nobody => None,
            Self::User(_, credential) => Some(*credential),
            Self::UserToken(token, _) | Self::DeployToken(token) => Some(token.credential),
        }
    }

    /// The user it acts as.
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user, _) | Self::UserToken(_, user) => Some(user),
            Self::Nobody | Self::DeployToken(_) => None,
        }
    }

    /// The principal as JWTs and logs name it, such as `user:7`.
    pub fn principal(&self) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::User(user, _) => format!("user:{}", user.id),
            Self::UserToken(token, user) => match token.owner {
                TokenOwner::Group { .. } => format!("group_token:{}", token.id),
                TokenOwner::Personal { .. } | TokenOwner::Deploy { .. } => format!("user:{}", user.id),
            },
            Self::DeployToken(token) => format!("deploy_token:{}", token.id),
        }
    }

    /// The user name of the principal; a deploy token has one of its own.
    pub fn principal_name(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::User(user, _) | Self::UserToken(_, user) => Some(user.username.as_str()),
            Self::DeployToken(token) => match &token.owner {
                TokenOwner::Deploy { username, .. } => Some(username),
                TokenOwner::Personal { .. } | TokenOwner::Group { .. } => None,
            },
        }
    }

    /// The name of the credential that proved it.
    pub fn credential_name(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::User(..) => Some("password"),
            Self::UserToken(token, _) | Self::DeployToken(token) => Some(&token.name),
        }
    }

    /// The principal as a sentence names it.
    pub fn who(&self) -> String {
        match self {
            Self::Nobody => "somebody who is not logged in".to_owned(),
            Self::User(user, _) => user.username.to_string(),
            Self::UserToken(token, _) if token.group().is_some() => format!("group token '{}'", token.name),
            Self::UserToken(_, user) => user.username.to_string(),
            Self::DeployToken(token) => format!("deploy token '{}'", token.name),
        }
    }
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
