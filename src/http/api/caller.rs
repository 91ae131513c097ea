//! Authentication and authorization of the API. A handler can reach nothing without a [`Caller`], which exists only
//! for an active personal or group access token whose scopes allow the method. The handler requests further rights
//! from its [`Authority`], by name.
//!
//! - Administrators may do everything. A token has its owner's rights, limited by its scopes: `api` allows all of
//!   them, `read_api` those for reading. The other scopes allow nothing here but access to the token's own record.
//! - A group is visible to its members, to members of the groups above it, and, if it is public, to those that
//!   `public_groups` names. For all others it does not exist.
//! - Changing a group's settings, members and tokens, purging its cache, and deleting and pinning its cached images
//!   needs an owner of it or of a group above it. Changing its path needs a caller who could create a group there: an
//!   administrator at the top, below that an owner of the group above. So a caller who learns that a path is taken may
//!   see the group that has it.
//! - What a group has cached is listed for its members and those of the groups above it, not for visitors of a public
//!   group.
//! - Deploy tokens and JWTs are not accepted here, and a password is accepted by two routes: see
//!   [`super::own_token`] and [`super::own_password`]. The console has callers with a session, which stands for a
//!   password: see [`visitor`](crate::http::ui).
//!
//! | file | content |
//! |---|---|
//! | [`authority`] | rights, decided on one directory at one time |
//! | [`permission`] | changes, for which the right is decided again |
//! | [`cache_events`] | audit events of changes of what groups have cached |

mod authority;
mod cache_events;
mod permission;

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::{FromRequest, HttpRequest, web};
use jiff::Timestamp;

pub(in crate::http) use self::authority::{Authority, Needed, Right, owner_of};
pub(in crate::http::api) use self::cache_events::CacheChange;
pub(in crate::http) use self::permission::Permission;
use super::error::ApiError;
use super::state::ApiState;
use crate::actors::audit::Occurrence;
use crate::actors::images::ImagesError;
use crate::auth::secret;
use crate::domain::audit::{Author, Entity, FieldChange, Target, Who};
use crate::domain::directory::{Credential, Directory};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::policy::Identity;
use crate::domain::user::User;
use crate::http::refusals::Subject;

/// A user with an active credential that suffices for this request.
pub(crate) struct Caller {
    /// The state of the API.
    pub(in crate::http) state: web::Data<ApiState>,
    /// The identities when the head of the request arrived.
    pub(in crate::http) directory: Arc<Directory>,
    /// The user that the credential acts as.
    pub(in crate::http) user: Arc<User>,
    /// The time when the head of the request arrived.
    pub(in crate::http) now: Timestamp,
    /// The client's address.
    address: IpAddr,
    /// The client program, as it names itself.
    user_agent: Option<String>,
    /// Scheme and host of URLs for this client.
    pub(in crate::http) base_url: String,
    identity: Identity,
    credential: CredentialId,
    needed: Needed,
    /// True if the request shows its form again instead of carrying it out.
    changes_nothing: bool,
}

/// Maximum length of the name of a client program that is kept, in characters.
const MAX_USER_AGENT_CHARS: usize = 200;

/// A caller whose token may have any scope: it suffices to read and to revoke that token.
pub(crate) struct AnyScope(pub(super) Caller);

/// Logs that a caller did something, with these fields and this message.
macro_rules! log_of {
    ($caller:expr, $($what:tt)+) => {
        tracing::info!(
            principal = %$caller.identity.principal(),
            principal_name = $caller.identity.principal_name(),
            credential = %$caller.credential,
            credential_name = $caller.identity.credential_name(),
            token = $caller.identity.token().map(|token| token.0),
            address = %$caller.address,
            $($what)+
        )
    };
}

impl Caller {
    /// Creates the caller who presented the credential that `find` returns.
    ///
    /// # Errors
    /// There is no such credential, it is not active, or it is not as `needed`.
    pub(in crate::http) fn with(
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
        let (base_url, address) = (state.public_url.base(request), state.public_url.client(request));
        state.last_used.note(credential, address, now);
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.map(|name| name.chars().take(MAX_USER_AGENT_CHARS).collect());
        let changes_nothing = false;
        Ok(Self {
            address,
            user_agent,
            state,
            directory,
            user,
            now,
            base_url,
            identity,
            credential,
            needed,
            changes_nothing,
        })
    }

    /// Creates the caller who presented an access token.
    ///
    /// # Errors
    /// There is no active token, or its scopes do not allow the method of this request.
    pub(super) fn by_token(request: &HttpRequest) -> Result<Self, ApiError> {
        by_token(request, Needed::by(request.method()))
    }

    /// Has every change by this caller refused: the form of the request is shown again, and not carried out.
    pub(in crate::http) fn hold_changes(&mut self) {
        self.changes_nothing = true;
    }

    /// Returns the caller as refusals name it.
    pub(in crate::http) fn subject(&self) -> Subject {
        self.identity.clone().into()
    }

    /// Returns the caller's rights when the head of the request arrived.
    pub(in crate::http) fn authority(&self) -> Authority<'_> {
        Authority {
            directory: &self.directory,
            identity: &self.identity,
            user: &self.user,
            now: self.now,
            state: &self.state,
        }
    }

    /// Returns the caller as audit events name it.
    pub(in crate::http) fn author(&self) -> Author {
        Author {
            who: Who::User(self.user.id),
            name: self.user.username.to_string(),
            token: self.identity.token(),
            token_name: self.identity.token().and(self.identity.credential_name()).map(str::to_owned),
            address: Some(self.address),
            user_agent: self.user_agent.clone(),
        }
    }

    /// Logs a change by this caller, with the objects that it changed, if there are any.
    fn log(&self, what: &'static str, changes: &str) {
        if changes.is_empty() {
            return;
        }
        log_of!(self, what, changes = &*secret::redacted(changes), "identities changed");
    }

    /// Starts to purge the cache of the group of the permission, which is decided again first. No identity changes,
    /// so the latest snapshot suffices.
    ///
    /// # Errors
    /// There are too many changes, the credential or the permission is no longer valid, or the audit event cannot be
    /// stored.
    pub(super) async fn purge<D>(&self, permission: Permission<D, GroupId>) -> Result<(), ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<GroupId, ApiError>,
    {
        let (group, path) = self.decide_again(permission)?;
        log_of!(self, group = path, group_id = group.0, "purging the cache of a group");
        let group = (group, path.as_str());
        let (name, what) = ("cache_cleared", "cache of a group cleared");
        let change = CacheChange { name, what, group, image: None, changes: Vec::new() };
        self.change_cache(&change, async { Ok(self.state.janitor.purge(group.0).await.map_err(ImagesError::from)?) })
            .await
    }

    /// Removes what the group of the permission has cached, except for pinned images. Works as [`Self::purge`]
    /// otherwise.
    ///
    /// # Errors
    /// As for [`Self::purge`], and if the store fails.
    pub(super) async fn purge_unpinned<D>(&self, permission: Permission<D, GroupId>) -> Result<(), ApiError>
    where
        D: Fn(&Authority<'_>) -> Result<GroupId, ApiError>,
    {
        let (group, path) = self.decide_again(permission)?;
        log_of!(self, group = path, group_id = group.0, "removing the images of a group that are not pinned");
        let kept = FieldChange { field: "pinned_images".to_owned(), from: None, to: Some("kept".into()) };
        let (name, what) = ("cache_cleared", "cache of a group cleared");
        let change = CacheChange { name, what, group: (group, &path), image: None, changes: vec![kept] };
        self.change_cache(&change, async { Ok(self.state.images.remove_unpinned(group).await?) }).await
    }

    /// Logs that a session of this caller in the console has begun or ended, and counts it for the audit trail.
    pub(in crate::http) fn note_session(&self, what: (&'static str, &'static str)) {
        self.note_session_of(&self.user, what);
    }

    /// Logs what this caller did with sessions of a user in the console, and counts it for the audit trail.
    pub(in crate::http) fn note_session_of(&self, user: &User, (name, what): (&'static str, &'static str)) {
        log_of!(self, what, of = user.username.as_str(), "session of the console");
        let (id, username) = (user.id, user.username.to_string());
        let occurrence = Occurrence {
            name,
            message: what,
            author: self.author(),
            credential: Some(self.credential),
            entity: Entity::User { id, name: username.clone() },
            target: Target { kind: "User".into(), id: Some(id.0), name: username },
            failure: None,
        };
        self.state.audit.note(occurrence, Timestamp::now());
    }

    /// Logs that this caller changes an image that a group has cached.
    pub(super) fn log_image(&self, what: &'static str, (group, path): (GroupId, &str), image: &str) {
        log_of!(self, what, group = path, group_id = group.0, image, "changing a cached image");
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

/// Returns the secret in `PRIVATE-TOKEN`, or else in `Authorization: Bearer`.
fn presented(request: &HttpRequest) -> Option<&str> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    header("private-token").or_else(|| {
        let (scheme, secret) = header(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    })
}
