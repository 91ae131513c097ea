//! Who calls the API and what they may do, decided on one directory at one time. What needs a right asks an [`Authority`]
//! for it; the rules are in [`super`].

use std::sync::Arc;

use actix_web::http::Method;
use jiff::Timestamp;

use super::super::error::ApiError;
use super::super::state::ApiState;
use crate::domain::access::AccessLevel;
use crate::domain::directory::{Credential, Directory};
use crate::domain::edit::maker::Maker;
use crate::domain::edit::{EditError, Terms};
use crate::domain::group::{Group, Visibility};
use crate::domain::id::{CredentialId, GroupId, UserId};
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::scope::Scope;
use crate::domain::token::Token;
use crate::domain::user::User;

/// Somebody with an active credential, in this directory and at this time.
#[derive(Clone, Copy)]
pub(in crate::http::api) struct Authority<'a> {
    /// The identities that everything is decided on.
    pub(in crate::http::api) directory: &'a Directory,
    /// What was proved.
    pub(in crate::http::api) identity: &'a Identity,
    /// As whom the credential acts.
    pub(in crate::http::api) user: &'a Arc<User>,
    /// The time of the decision.
    pub(in crate::http::api) now: Timestamp,
    /// What the routes share.
    pub(in crate::http::api) state: &'a ApiState,
}

/// What a caller needs to have in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::api) enum Right {
    /// To know that it exists and who belongs to it.
    See,
    /// To change it, its members and its tokens.
    Own,
}

/// What the credential itself needs for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::api) enum Needed {
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
    /// The authority of this identity; `None` for one that is no user.
    pub(in crate::http::api) fn of(
        state: &'a ApiState,
        directory: &'a Directory,
        identity: &'a Identity,
        now: Timestamp,
    ) -> Option<Self> {
        identity.user().map(|user| Self { directory, identity, user, now, state })
    }

    /// What a change by this caller is made under.
    pub(in crate::http::api) fn terms(&self) -> Terms<'a> {
        Terms { maker: Maker::of(self.identity), by: Some(self.user.id), limits: &self.state.limits, now: self.now }
    }

    /// The access token that was presented, also where that was by its old secret; there is none with a password.
    pub(in crate::http::api) fn token(&self) -> Result<&'a Arc<Token>, ApiError> {
        match self.identity {
            Identity::UserToken(token, _) => self.directory.token(token.id).ok_or(ApiError::Unauthorized),
            Identity::Nobody | Identity::User(..) | Identity::DeployToken(_) => Err(ApiError::Unauthorized),
        }
    }

    /// Refuses a caller who presented the old secret of this very token: whoever holds that one must not get hold of
    /// the new one, or prolong it.
    pub(in crate::http::api) fn check_secret(&self, token: &Token) -> Result<(), EditError> {
        match self.identity {
            Identity::UserToken(own, _) if own.id == token.id && own.credential != token.credential => {
                Err(EditError::Refused("The old secret of a token cannot rotate or extend it"))
            }
            Identity::Nobody | Identity::User(..) | Identity::UserToken(..) | Identity::DeployToken(_) => Ok(()),
        }
    }

    /// Goes on for administrators only.
    pub(in crate::http::api) fn administrator(&self) -> Result<(), ApiError> {
        if self.user.admin { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Goes on for administrators and for the user in question.
    pub(in crate::http::api) fn administrator_or(&self, user: UserId) -> Result<(), ApiError> {
        if self.user.id == user { Ok(()) } else { self.administrator() }
    }

    /// The group with this number or path, if the caller has this right in it. One that the caller may not even see is
    /// one that does not exist.
    pub(in crate::http::api) fn group(&self, reference: &str, right: Right) -> Result<Arc<Group>, ApiError> {
        let found = match reference.parse() {
            Ok(id) => self.directory.group(GroupId(id)),
            Err(_) => reference.parse().ok().and_then(|path| self.directory.group_at(&path)),
        };
        let group = found.filter(|group| self.sees(group)).ok_or(ApiError::NotFound("Group"))?;
        if right == Right::Own && self.level(group.id) < Some(AccessLevel::Owner) {
            return Err(ApiError::Forbidden);
        }
        Ok(group.clone())
    }

    /// Whether the caller may know of this group.
    pub(in crate::http::api) fn sees(&self, group: &Group) -> bool {
        let open = group.visibility == Visibility::Public && self.state.public_groups != PublicGroups::Members;
        open || self.level(group.id).is_some()
    }

    /// The caller's level in a group; an administrator has the highest everywhere.
    pub(in crate::http::api) fn level(&self, group: GroupId) -> Option<AccessLevel> {
        if self.user.admin { Some(AccessLevel::Owner) } else { self.own_level(group) }
    }

    /// The caller's level in a group as a member of it.
    pub(in crate::http::api) fn own_level(&self, group: GroupId) -> Option<AccessLevel> {
        policy::access_level(self.directory, self.user.id, group, self.now)
    }
}

impl Needed {
    /// What a request with this method needs.
    pub(in crate::http::api) fn by(method: &Method) -> Self {
        if [Method::GET, Method::HEAD].contains(method) { Self::Reading } else { Self::Writing }
    }

    /// Who this credential stands for in this directory, if it is active and is enough.
    pub(in crate::http::api) fn identify(
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

    /// Decides anew for a credential that was presented before, of which only the id was kept.
    pub(in crate::http::api) fn decide_again<T>(
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
