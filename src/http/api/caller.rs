//! Who calls the API. A handler gets at nothing without a [`Caller`], which exists only once a personal or group access
//! token is active and its scopes allow the method; what more is needed, the handler asks of its [`Authority`] by name.
//!
//! - Administrators may do everything. A token has its owner's rights, cut to its scopes: `api` all of them, `read_api`
//!   those to read; the others open nothing here but the token's own record.
//! - A group is seen by its members, those of the groups above it, and, if it is public, by whom `public_groups` says.
//!   For everybody else it does not exist.
//! - A group's settings, members and tokens, and purging its cache, need an owner of it or of a group above it. Its path
//!   needs whoever could create a group there: an administrator at the top, below it an owner of the group above. So who
//!   is told that a path is taken sees the group that has it.
//! - Deploy tokens and JWTs open nothing here, and a password two routes: see [`super::own_token`] and
//!   [`super::own_password`].
//!
//! A request's body may arrive long after its head, and passwords wait to be hashed: what was decided when the head came may
//! no longer hold. So a change takes a [`Permission`], and [`Caller::change`] decides it anew on the directory that it
//! changes, credential first: who was revoked meanwhile gets 401, who lost the right the refusal of the route. Reads are
//! answered from the snapshot that they were decided on.

mod authority;
mod identities;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use jiff::Timestamp;

pub(super) use self::authority::{Authority, Needed, Right};
pub(crate) use self::identities::Identities;
use super::error::ApiError;
use super::state::ApiState;
use crate::auth::secret;
use crate::domain::directory::{Credential, Directory};
use crate::domain::edit::Edit;
use crate::domain::edit::summary::summary;
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::policy::Identity;
use crate::domain::user::User;

/// Somebody with an active credential that is enough for this request.
pub(crate) struct Caller {
    /// The state of the API.
    pub(super) state: web::Data<ApiState>,
    /// The identities as they were when the head of the request came.
    pub(super) directory: Arc<Directory>,
    /// As whom the credential acts.
    pub(super) user: Arc<User>,
    /// When the head of the request came.
    pub(super) now: Timestamp,
    /// Where the request came from.
    address: IpAddr,
    /// What URLs start with for this client.
    pub(super) base_url: String,
    identity: Identity,
    credential: CredentialId,
    needed: Needed,
}

/// A caller whose token may have any scope: enough to look at, and to end, that token.
pub(crate) struct AnyScope(pub(super) Caller);

/// A right that the caller had when the head of the request came, with the rule that decides it. Made by [`Caller::may`].
pub(super) struct Permission<D, G> {
    decide: D,
    /// What the rule gave then.
    pub(super) granted: G,
}

/// A line in the log that says who did something, with these fields and this message.
macro_rules! log_of {
    ($caller:expr, $($what:tt)+) => {
        tracing::info!(
            principal = $caller.identity.principal(),
            principal_name = $caller.identity.principal_name(),
            credential = %$caller.credential,
            credential_name = $caller.identity.credential_name(),
            address = %$caller.address,
            $($what)+
        )
    };
}

impl Caller {
    /// The caller who presented this credential; `needed` says whether it is enough.
    pub(super) fn with(
        state: web::Data<ApiState>,
        request: &HttpRequest,
        needed: Needed,
        find: impl FnOnce(&Directory) -> Option<Credential>,
    ) -> Result<Self, ApiError> {
        let (directory, now) = (state.identities.directory(), Timestamp::now());
        let identity = needed.identify(&directory, find(&directory).ok_or(ApiError::Unauthorized)?, now)?;
        let (Some(user), Some(credential)) = (identity.user().cloned(), identity.credential()) else {
            return Err(ApiError::Unauthorized);
        };
        state.last_used.note(credential, now);
        let (base_url, address) = (state.public_url.base(request), state.public_url.client(request));
        Ok(Self { address, state, directory, user, now, base_url, identity, credential, needed })
    }

    /// The caller who presented an access token, if its scopes are enough for the method of this request.
    pub(super) fn by_token(request: &HttpRequest) -> Result<Self, ApiError> {
        by_token(request, Needed::by(request.method()))
    }

    /// What the caller may do, as of when the head of the request came.
    pub(super) fn authority(&self) -> Authority<'_> {
        Authority {
            directory: &self.directory,
            identity: &self.identity,
            user: &self.user,
            now: self.now,
            state: &self.state,
        }
    }

    /// The permission to change something, or the refusal that a change would meet now. `decide` is the rule of the route: what
    /// it finds, such as the group in question, is handed to the change.
    pub(super) fn may<G, D>(&self, decide: D) -> Result<Permission<D, G>, ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<G, ApiError>,
    {
        let granted = decide(&self.authority())?;
        Ok(Permission { decide, granted })
    }

    /// Makes a change, and notes in the log who made which. The credential and the permission are decided anew on the very
    /// directory that is changed, at the time of the change.
    pub(super) async fn change<G, D, T>(
        &self,
        what: &'static str,
        permission: Permission<D, G>,
        edit: impl FnOnce(&Authority<'_>, G) -> Edit<T> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<G, ApiError> + Send + 'static,
        T: Send + 'static,
    {
        self.state.pace.admit(&self.identity)?;
        let (state, decide) = (self.state.clone(), permission.decide);
        let (needed, credential) = (self.needed, self.credential);
        let decided = move |directory: &Directory, now| {
            needed.decide_again(&state, (directory, now), credential, |authority| {
                let granted = decide(authority)?;
                let (writes, value) = edit(authority, granted).map_err(ApiError::from)?;
                let changes = summary(directory, &writes);
                Ok((writes, (value, changes)))
            })
        };
        let (value, changes) = self.state.identities.change(decided).await.map_err(ApiError::of_change)?;
        self.log(what, &changes);
        Ok(value)
    }

    /// Notes in the log what this caller did to what.
    fn log(&self, what: &'static str, changes: &str) {
        log_of!(self, what, changes = &*secret::redacted(changes), "identities changed");
    }

    /// Starts to empty the cache of the group that the permission is for, which is decided anew first. No identity changes, so
    /// the snapshot of this moment will do.
    pub(super) async fn purge<D>(&self, permission: Permission<D, GroupId>) -> Result<(), ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<GroupId, ApiError>,
    {
        self.state.pace.admit(&self.identity)?;
        let (directory, now) = (self.state.identities.directory(), Timestamp::now());
        let group = self.needed.decide_again(&self.state, (&directory, now), self.credential, |authority| {
            (permission.decide)(authority)
        })?;
        let path = directory.group(group).map(|group| group.path.as_str().to_owned()).unwrap_or_default();
        log_of!(self, group = path, group_id = %group, "purging the cache of a group");
        self.state.purge.start(group).await;
        Ok(())
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::by_token(request))
    }
}

impl FromRequest for AnyScope {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(by_token(request, Needed::AnyScope).map(Self))
    }
}

fn by_token(request: &HttpRequest, needed: Needed) -> Result<Caller, ApiError> {
    let state = request.app_data::<web::Data<ApiState>>().ok_or(ApiError::Unauthorized)?.clone();
    let secret = secret::digest(presented(request).ok_or(ApiError::Unauthorized)?);
    Caller::with(state, request, needed, |directory| directory.secret(&secret))
}

/// The secret in `PRIVATE-TOKEN`, or else in `Authorization: Bearer`.
fn presented(request: &HttpRequest) -> Option<&str> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    header("private-token").or_else(|| {
        let (scheme, secret) = header(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    })
}
