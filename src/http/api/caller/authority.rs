//! Rights of a caller, decided on one directory at one time. Code that needs a right requests it from an
//! [`Authority`]. The rules are described in [`super`].

use std::sync::Arc;

use actix_web::http::Method;
use jiff::Timestamp;

use super::super::error::ApiError;
use super::super::state::ApiState;
use crate::domain::access::AccessLevel;
use crate::domain::commands::maker::Maker;
use crate::domain::commands::{CommandError, Terms};
use crate::domain::directory::{Credential, Directory};
use crate::domain::group::{Group, Visibility};
use crate::domain::id::{CredentialId, GroupId, UserId};
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::scope::Scope;
use crate::domain::token::Token;
use crate::domain::user::User;

/// A user with an active credential, in this directory and at this time.
#[derive(Clone, Copy)]
pub(in crate::http) struct Authority<'a> {
    /// The identities on which every decision is based.
    pub(in crate::http) directory: &'a Directory,
    /// The identity that the credential proves.
    pub(in crate::http) identity: &'a Identity,
    /// The user that the credential acts as.
    pub(in crate::http) user: &'a Arc<User>,
    /// The time of the decision.
    pub(in crate::http) now: Timestamp,
    /// The state that the routes share.
    pub(in crate::http) state: &'a ApiState,
}

/// The right that a caller needs in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Right {
    /// To know that the group exists, and its members.
    See,
    /// To change the group, its members and its tokens, and what it has cached.
    Own,
}

/// The credential that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Needed {
    /// An access token with any scope.
    AnyScope,
    /// An access token whose scopes allow reading.
    Reading,
    /// An access token whose scopes allow everything.
    Writing,
    /// A password.
    Password,
}

impl<'a> Authority<'a> {
    /// Returns the authority of this identity; `None` if it is not a user.
    pub(in crate::http) fn of(
        state: &'a ApiState,
        directory: &'a Directory,
        identity: &'a Identity,
        now: Timestamp,
    ) -> Option<Self> {
        identity.user().map(|user| Self { directory, identity, user, now, state })
    }

    /// Returns the conditions of a change by this caller: its maker, the limits, and the time.
    pub(in crate::http) fn terms(&self) -> Terms<'a> {
        Terms { maker: Maker::of(self.identity), by: Some(self.user.id), limits: &self.state.limits, now: self.now }
    }

    /// Returns the access token that was presented, even by its old secret.
    ///
    /// # Errors
    /// A password was presented.
    pub(in crate::http) fn token(&self) -> Result<&'a Arc<Token>, ApiError> {
        match self.identity {
            Identity::UserToken(token, _) => self.directory.token(token.id).ok_or(ApiError::Unauthorized),
            Identity::Nobody | Identity::User(..) | Identity::DeployToken(_) => Err(ApiError::Unauthorized),
        }
    }

    /// Refuses a caller who presented the old secret of this very token: the holder of the old secret must not
    /// obtain the new one, or extend it.
    ///
    /// # Errors
    /// The old secret of this token was presented.
    pub(in crate::http) fn check_secret(&self, token: &Token) -> Result<(), CommandError> {
        match self.identity {
            Identity::UserToken(own, _) if own.id == token.id && own.credential != token.credential => {
                Err(CommandError::Refused("The old secret of a token cannot rotate or extend it"))
            }
            Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Ok(()),
        }
    }

    /// Fails unless the caller is an administrator.
    pub(in crate::http) fn administrator(&self) -> Result<(), ApiError> {
        if self.user.admin { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Fails unless the caller is an administrator or this user.
    pub(in crate::http) fn administrator_or(&self, user: UserId) -> Result<(), ApiError> {
        if self.user.id == user { Ok(()) } else { self.administrator() }
    }

    /// Returns the group with this number or path, if the caller has this right in it. A path may consist of digits,
    /// which are a number here, so this is for routes of the API alone: pages name groups by their paths.
    ///
    /// # Errors
    /// As for [`Self::group_with`].
    pub(in crate::http::api) fn group(&self, reference: &str, right: Right) -> Result<Arc<Group>, ApiError> {
        let id = match reference.parse() {
            Ok(id) => Some(GroupId(id)),
            Err(_) => reference.parse().ok().and_then(|path| self.directory.group_at(&path)).map(|group| group.id),
        };
        self.group_with(id.ok_or(ApiError::NotFound("Group"))?, right)
    }

    /// Returns the group with this number, if the caller has this right in it.
    ///
    /// # Errors
    /// The group does not exist, or the caller may not see it, which is reported alike; or the caller is not its
    /// owner.
    pub(in crate::http) fn group_with(&self, id: GroupId, right: Right) -> Result<Arc<Group>, ApiError> {
        let found = self.directory.group(id);
        let group = found.filter(|group| self.sees(group)).ok_or(ApiError::NotFound("Group"))?;
        if right == Right::Own && self.level(group.id) < Some(AccessLevel::Owner) {
            return Err(ApiError::Forbidden);
        }
        Ok(group.clone())
    }

    /// Returns true if the caller may know of this group.
    pub(in crate::http) fn sees(&self, group: &Group) -> bool {
        let open = group.visibility == Visibility::Public && self.state.public_groups != PublicGroups::Members;
        open || self.level(group.id).is_some()
    }

    /// Returns the caller's level in a group. An administrator has the highest level in every group.
    pub(in crate::http) fn level(&self, group: GroupId) -> Option<AccessLevel> {
        if self.user.admin { Some(AccessLevel::Owner) } else { self.own_level(group) }
    }

    /// Returns the caller's level in a group as a member of it.
    pub(in crate::http) fn own_level(&self, group: GroupId) -> Option<AccessLevel> {
        policy::access_level(self.directory, self.user.id, group, self.now)
    }
}

impl Needed {
    /// Returns the credential that a request with this method needs.
    pub(in crate::http) fn by(method: &Method) -> Self {
        if [Method::GET, Method::HEAD].contains(method) { Self::Reading } else { Self::Writing }
    }

    /// Returns the identity of this credential in this directory.
    ///
    /// # Errors
    /// The credential is not active, or does not suffice.
    pub(in crate::http) fn identify(
        self,
        directory: &Directory,
        credential: Credential,
        now: Timestamp,
    ) -> Result<Identity, ApiError> {
        let identity = policy::identify(directory, credential, now).map_err(refused)?;
        match &identity {
            Identity::UserToken(token, _) => self.check_scopes(token)?,
            Identity::User(..) if self == Self::Password => {}
            Identity::Nobody | Identity::User(..) | Identity::DeployToken(_) => return Err(ApiError::Unauthorized),
        }
        Ok(identity)
    }

    /// Repeats a decision on this directory, for a credential of which only the id was kept.
    ///
    /// # Errors
    /// The credential is no longer active or does not suffice, or `decide` refuses.
    pub(in crate::http) fn decide_again<T>(
        self,
        state: &ApiState,
        (directory, now): (&Directory, Timestamp),
        credential: CredentialId,
        decide: impl FnOnce(&Authority<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let credential = directory.credential(credential).ok_or(ApiError::Unauthorized)?;
        let identity = self.identify(directory, credential, now)?;
        decide(&Authority::of(state, directory, &identity, now).ok_or(ApiError::Unauthorized)?)
    }

    fn check_scopes(self, token: &Token) -> Result<(), ApiError> {
        let has = |scope| token.scopes.contains(scope);
        match self {
            Self::AnyScope => Ok(()),
            Self::Reading if has(Scope::Api) || has(Scope::ReadApi) => Ok(()),
            Self::Reading => Err(ApiError::InsufficientScope("api read_api")),
            Self::Writing if has(Scope::Api) => Ok(()),
            Self::Writing => Err(ApiError::InsufficientScope("api")),
            Self::Password => Err(ApiError::Unauthorized),
        }
    }
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Expired { .. } => {
            ApiError::InvalidToken("Token is expired. You can either do re-authorization or token refresh.")
        }
        Refusal::Replaced { .. } => {
            ApiError::InvalidToken("Token was rotated. The secret that replaced this one is needed.")
        }
        Refusal::Revoked { .. } => ApiError::InvalidToken("Token was revoked. You have to re-authorize from the user."),
        Refusal::Blocked { .. } => ApiError::Refused("Your account has been blocked."),
        Refusal::Unknown
        | Refusal::PasswordAtRegistry
        | Refusal::GitlabToken
        | Refusal::Username { .. }
        | Refusal::NeverSeen
        | Refusal::Scopes { .. }
        | Refusal::Gone => ApiError::Unauthorized,
    }
}

/// Returns the rule of a change that only the owners of this group may make. The group is named by its number, because
/// a path may be that of another group at the change.
pub(in crate::http) fn owner_of(
    group: GroupId,
) -> impl Fn(&Authority<'_>) -> Result<GroupId, ApiError> + Send + 'static {
    move |caller| Ok(caller.group_with(group, Right::Own)?.id)
}
