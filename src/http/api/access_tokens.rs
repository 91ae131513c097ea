//! Shared parts of personal and group access tokens: their representation, lists and creation
//! (<https://docs.gitlab.com/api/personal_access_tokens/>, <https://docs.gitlab.com/api/group_access_tokens/>). A
//! secret is in the response that creates it, and in no later one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::caller::Caller;
use super::error::ApiError;
use super::params::Params;
use crate::auth::random;
use crate::auth::secret::{self, Kind};
use crate::domain::commands::maker::Ending;
use crate::domain::commands::token::{NewCredential, NewToken};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::last_use::{AddressUse, MAX_ADDRESSES};
use crate::domain::token::{Token, TokenOwner};

/// Default lifetime of an access token. The same as GitLab's.
const LIFE_DAYS: i64 = 365;

/// Returns an access token in GitLab's representation.
pub(super) fn view(caller: &Caller, token: &Token) -> Value {
    let mut shown = json!({
        "id": token.id,
        "name": token.name,
        "description": token.description,
        "revoked": token.revoked_at.is_some(),
        "active": token.is_active(caller.now),
        "created_at": format!("{:.3}", token.created_at),
        "scopes": token.scopes,
        "user_id": token.user(),
        "expires_at": token.expires_at.map(|end| end.to_zoned(jiff::tz::TimeZone::UTC).date()),
        "old_secret_expires_at": old_secret_end(caller, token),
    });
    if let TokenOwner::Group { group, bot } = token.owner {
        let membership = caller.state.identities.directory().membership(group, bot).cloned();
        shown["access_level"] = json!(membership.map(|membership| membership.level));
        shown["resource_type"] = json!("group");
        shown["resource_id"] = json!(group);
    }
    with_last_use(shown, caller, token)
}

/// Adds the secret to a representation, for the response to the request that created it.
pub(super) fn with_secret(mut shown: Value, secret: &SecretString) -> Value {
    shown["token"] = json!(secret.expose_secret());
    shown
}

/// Adds to a representation when a token was last used, with any of its secrets, and from where, the latest first.
pub(super) fn with_last_use(mut shown: Value, caller: &Caller, token: &Token) -> Value {
    let uses = last_address_uses(caller, token);
    let from = |one: &AddressUse| json!({"ip_address": one.address, "last_used_at": format!("{:.3}", one.at)});
    shown["last_used_at"] = json!(last_use(caller, token).map(|at| format!("{at:.3}")));
    shown["last_used_ips"] = uses.iter().map(|one| json!(one.address)).collect();
    shown["last_used_from"] = uses.iter().map(from).collect();
    shown
}

/// Returns the time when a token was last used, with any of its secrets.
pub(in crate::http) fn last_use(caller: &Caller, token: &Token) -> Option<Timestamp> {
    credentials(token).filter_map(|credential| caller.state.last_used.of(credential)).max()
}

/// Returns the addresses from which a token was last used, with any of its secrets, and when; the latest first.
pub(in crate::http) fn last_address_uses(caller: &Caller, token: &Token) -> Vec<AddressUse> {
    let of = |credential| caller.state.last_used.addresses_of(credential, caller.now);
    let mut uses: Vec<AddressUse> = credentials(token).flat_map(of).collect();
    uses.sort_by_key(|one| Reverse(one.at));
    let mut known = HashSet::new();
    uses.retain(|one| known.insert(one.address));
    uses.truncate(MAX_ADDRESSES);
    uses
}

fn credentials(token: &Token) -> impl Iterator<Item = CredentialId> {
    [Some(token.credential), token.old_secret.map(|old| old.credential)].into_iter().flatten()
}

/// Returns the end of the secret that a rotation replaced, while it is still valid.
pub(super) fn old_secret_end(caller: &Caller, token: &Token) -> Option<String> {
    token.old_secret_end(caller.now).map(|end| format!("{end:.3}"))
}

/// Generates a secret of this kind. Returns it with the data that is stored of it.
pub(in crate::http) fn new_secret(kind: Kind) -> (SecretString, NewCredential) {
    let made = secret::generate(kind);
    (made.secret, NewCredential { credential: random::credential_id(), secret: made.digest, brought: false })
}

/// Reads the description of a new token of this kind from the parameters. Returns it with its secret. It is valid
/// for a year unless the request states an expiry.
///
/// # Errors
/// A parameter is missing or invalid.
pub(super) fn described(params: &Params, kind: Kind) -> Result<(NewToken, SecretString), ApiError> {
    params.require(&["name", "scopes"])?;
    let (secret, new_credential) = new_secret(kind);
    let new = NewToken {
        name: params.required_text("name")?,
        description: params.text("description")?.unwrap_or_default(),
        scopes: params.scopes()?,
        ending: params.day("expires_at")?.map_or(Ending::InDays(LIFE_DAYS), Ending::At),
        new_credential,
    };
    Ok((new, secret))
}

/// Returns the deleted tokens of these groups, as revoked ones, if the request asks for them with `include_deleted`.
/// GitLab's clients must not find a token that they deleted.
///
/// # Errors
/// The parameter is invalid.
pub(super) fn deleted(
    caller: &Caller,
    params: &Params,
    is_of: impl Fn(GroupId) -> bool,
) -> Result<Vec<Arc<Token>>, ApiError> {
    let wanted = params.is_true("include_deleted")?;
    Ok(if wanted { caller.directory.deleted_tokens(|group, _| is_of(group)) } else { Vec::new() })
}

/// The filters of a list of tokens.
pub(super) struct Filter {
    active: Option<bool>,
    revoked: Option<bool>,
    search: String,
}

impl Filter {
    /// Reads the filters from the parameters. Fails if one is invalid.
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let active = match params.text("state")?.as_deref() {
            None | Some("") => None,
            Some("active") => Some(true),
            Some("inactive") => Some(false),
            Some(_) => return Err(ApiError::invalid_value("state")),
        };
        let search = params.text("search")?.unwrap_or_default().to_lowercase();
        Ok(Self { active, revoked: params.flag("revoked")?, search })
    }

    /// Returns whether a token matches the filters.
    pub(super) fn fits(&self, token: &Token, now: Timestamp) -> bool {
        self.active.is_none_or(|active| active == token.is_active(now))
            && self.revoked.is_none_or(|revoked| revoked == token.revoked_at.is_some())
            && token.name.to_lowercase().contains(&self.search)
    }
}
