//! Identification and authorization of a request. Routes that serve content need an [`Authorized`] value, which
//! only [`Authorized::check`] creates.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use jiff::Timestamp;

use super::error::RegistryError;
use super::path_cache::{ParsedPath, Paths};
use super::state::RegistryState;
use crate::actors::pull_failure::Reader;
use crate::domain::directory::Directory;
use crate::domain::freshness::Freshness;
use crate::domain::group::Group;
use crate::domain::image_path::Target;
use crate::domain::origin::Origin;
use crate::domain::policy::{self, Identity};
use crate::http::authorization_header::AuthorizationHeader;

/// Proof that the caller may pull this image through this group at this moment. Created by [`Authorized::check`]
/// only.
#[derive(Debug)]
pub(super) struct Authorized {
    group: Arc<Group>,
    identity: Identity,
    reader: Reader,
    path: Rc<ParsedPath>,
}

/// Returns the identity of the caller in the current directory.
///
/// # Errors
/// No credential was presented, or it is not valid.
pub(super) fn identify(state: &RegistryState, request: &HttpRequest) -> Result<Identity, RegistryError> {
    identify_in(state, &state.policy.at_present(), request, Timestamp::now())
}

fn identify_in(
    state: &RegistryState,
    directory: &Directory,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Identity, RegistryError> {
    let identity = match AuthorizationHeader::by(request) {
        AuthorizationHeader::Nothing => return Err(RegistryError::LoginNeeded),
        AuthorizationHeader::Malformed => return Err(RegistryError::BadBearer(None)),
        AuthorizationHeader::Bearer(token) => {
            let identity = state.tokens.identify_bearer(directory, token, now);
            identity.map_err(|error| RegistryError::BadBearer(Some(error)))?
        }
        AuthorizationHeader::Basic(username, secret) => state.tokens.identify_token(directory, &username, &secret)?,
    };
    if let Some(credential) = identity.credential() {
        state.last_used.note(credential, state.public_url.client(request), now);
    }
    Ok(identity)
}

impl Authorized {
    /// Checks, in this order: the credential, the path, the group's policy. All of it is in memory, at every
    /// request.
    ///
    /// # Errors
    /// The first of these checks that fails.
    pub(super) fn check(state: &RegistryState, request: &HttpRequest) -> Result<Self, RegistryError> {
        let (directory, now) = (state.policy.at_present(), Timestamp::now());
        let identity = identify_in(state, &directory, request, now)?;
        let path = Paths::parse(request, &state.upstreams.load())?;
        let public = state.options.public_groups;
        let grant = policy::pull_grant(&directory, &identity, &path.group, public, now)?;
        let reader = if grant.is_stranger { Reader::Stranger } else { Reader::OfGroup };
        Ok(Self { group: grant.group, identity, reader, path })
    }

    /// Returns the group that pulls.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Returns the identity of the caller.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the caller as the reader of sentences about failed pulls.
    pub(super) fn reader(&self) -> Reader {
        self.reader
    }

    /// Returns the upstream, account and repository of the image.
    pub(super) fn origin(&self) -> &Origin {
        &self.path.origin
    }

    /// Returns the times for which a manifest is served to the group after upstream has confirmed it.
    pub(super) fn freshness(&self) -> Freshness {
        self.path.freshness
    }

    /// Returns the part of the image that is requested.
    pub(super) fn target(&self) -> &Target {
        &self.path.target
    }
}
