//! Who calls the API. A handler gets at nothing without a [`Caller`], which exists only once a personal or group access
//! token is active and its scopes allow the method; what more is needed, the handler asks of the caller by name.
//!
//! - Administrators may do everything. A token has its owner's rights, cut to its scopes: `api` all of them, `read_api`
//!   those to read; the others open nothing here but the token's own record.
//! - A group is seen by its members, those of the groups above it, and, if it is public, by whom `public_groups` says.
//!   For everybody else it does not exist.
//! - A group's settings, members and tokens, and purging its cache, need an owner of it or of a group above it.
//! - Deploy tokens and JWTs open nothing here, and a password one route only: see [`super::own_token`].

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use jiff::Timestamp;

use super::error::ApiError;
use super::state::ApiState;
use crate::auth::secret;
use crate::domain::access::AccessLevel;
use crate::domain::directory::Directory;
use crate::domain::edit::Edit;
use crate::domain::group::{Group, Visibility};
use crate::domain::id::{GroupId, UserId};
use crate::domain::policy::{self, Identity, PublicGroups, Refusal};
use crate::domain::scope::Scope;
use crate::domain::token::Token;
use crate::domain::user::User;

/// Somebody with an active token whose scopes allow this method.
pub(crate) struct Caller {
    /// The state of the API.
    pub(super) state: web::Data<ApiState>,
    /// The identities as they were when the request came.
    pub(super) directory: Arc<Directory>,
    /// The token that was presented.
    pub(super) token: Arc<Token>,
    /// As whom it acts.
    pub(super) user: Arc<User>,
    /// When the request came.
    pub(super) now: Timestamp,
    /// What URLs start with for this client.
    pub(super) base_url: String,
}

/// A caller whose token may have any scope: enough to look at, and to end, that token.
pub(crate) struct AnyScope(pub(super) Caller);

/// What a caller needs to have in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To know that it exists and who belongs to it.
    See,
    /// To change it, its members and its tokens.
    Own,
}

impl Caller {
    /// Goes on for administrators only.
    pub(super) fn administrator(&self) -> Result<(), ApiError> {
        if self.user.admin { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Goes on for administrators and for the user in question.
    pub(super) fn administrator_or(&self, user: UserId) -> Result<(), ApiError> {
        if self.user.id == user { Ok(()) } else { self.administrator() }
    }

    /// The group with this number or path, if the caller has this right in it. One that the caller may not even see is
    /// one that does not exist.
    pub(super) fn group(&self, reference: &str, right: Right) -> Result<Arc<Group>, ApiError> {
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
    pub(super) fn sees(&self, group: &Group) -> bool {
        let open = group.visibility == Visibility::Public && self.state.public_groups != PublicGroups::Members;
        open || self.level(group.id).is_some()
    }

    /// The caller's level in a group; an administrator has the highest everywhere.
    pub(super) fn level(&self, group: GroupId) -> Option<AccessLevel> {
        if self.user.admin { Some(AccessLevel::Owner) } else { self.own_level(group) }
    }

    /// The caller's level in a group as a member of it.
    pub(super) fn own_level(&self, group: GroupId) -> Option<AccessLevel> {
        policy::access_level(&self.directory, self.user.id, group, self.now)
    }

    /// Makes a change, and notes in the log who made which.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        what: &'static str,
        edit: impl FnOnce(&Directory) -> Edit<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let value = self.state.policy.change(edit).await?;
        tracing::info!(user = %self.user.id, credential = %self.token.credential, what, "identities changed");
        Ok(value)
    }

    fn check_scope(&self, method: &Method) -> Result<(), ApiError> {
        let reads = [Method::GET, Method::HEAD].contains(method);
        let enough = self.token.scopes.contains(Scope::Api) || reads && self.token.scopes.contains(Scope::ReadApi);
        let needed = if reads { "api read_api" } else { "api" };
        if enough { Ok(()) } else { Err(ApiError::InsufficientScope(needed)) }
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let scoped = |caller: Self| caller.check_scope(request.method()).map(|()| caller);
        ready(identify(request).and_then(scoped))
    }
}

impl FromRequest for AnyScope {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identify(request).map(Self))
    }
}

fn identify(request: &HttpRequest) -> Result<Caller, ApiError> {
    let state = request.app_data::<web::Data<ApiState>>().ok_or(ApiError::Unauthorized)?.clone();
    let presented = presented(request).ok_or(ApiError::Unauthorized)?;
    let (directory, now) = (state.policy.directory(), Timestamp::now());
    let credential = directory.secret(&secret::digest(presented)).ok_or(ApiError::Unauthorized)?;
    let identity = policy::identify(&directory, credential, now).map_err(refused)?;
    let (token, user) = match identity {
        Identity::UserToken(token, user) => (token, user),
        Identity::Nobody | Identity::User(..) | Identity::DeployToken(_) => return Err(ApiError::Unauthorized),
    };
    state.last_used.note(token.credential, now);
    let base_url = state.public_url.base(request);
    Ok(Caller { state, directory, token, user, now, base_url })
}

/// The secret in `PRIVATE-TOKEN`, or else in `Authorization: Bearer`.
fn presented(request: &HttpRequest) -> Option<&str> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    header("private-token").or_else(|| {
        let (scheme, secret) = header(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    })
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Expired { .. } => {
            ApiError::InvalidToken("Token is expired. You can either do re-authorization or token refresh.")
        }
        Refusal::Revoked { .. } => ApiError::InvalidToken("Token was revoked. You have to re-authorize from the user."),
        Refusal::Blocked { .. } => ApiError::Refused("Your account has been blocked."),
        Refusal::Unknown
        | Refusal::GitlabToken
        | Refusal::Username { .. }
        | Refusal::NeverSeen
        | Refusal::Scopes { .. }
        | Refusal::Gone => ApiError::Unauthorized,
    }
}
