//! Shared parts of personal and group access tokens: their representation, lists and creation
//! (<https://docs.gitlab.com/api/personal_access_tokens/>, <https://docs.gitlab.com/api/group_access_tokens/>). A
//! secret is in the response that creates it, and in no later one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::caller::Caller;
use super::error::ApiError;
use super::faults::Faults;
use super::params::Params;
use super::response::{Day, Time};
use crate::auth::random;
use crate::auth::secret::{self, Kind};
use crate::domain::commands::maker::Ending;
use crate::domain::commands::token::{NewCredential, NewToken};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::last_use::{AddressUse, MAX_ADDRESSES};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::token::{Token, TokenOwner};

/// Default lifetime of an access token. The same as GitLab's.
const LIFE_DAYS: i64 = 365;

/// A personal or group access token in GitLab's representation.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccessToken")]
pub(super) struct AccessTokenView {
    id: u64,
    name: String,
    description: String,
    revoked: bool,
    /// True while it is neither revoked nor expired.
    active: bool,
    /// The time when its present secret was made.
    created_at: Time,
    #[schemars(schema_with = "scopes_schema")]
    scopes: Scopes,
    /// The user as which it acts; for a group access token its bot.
    // Only a deploy token has none, and that is not shown as an access token.
    #[schemars(with = "u64")]
    user_id: Option<u64>,
    /// The day from which it is no longer valid; `null`: it has no end.
    expires_at: Option<Day>,
    /// The end of the secret that a rotation replaced, while that is valid.
    old_secret_expires_at: Option<Time>,
    #[serde(flatten)]
    bot: Option<BotView>,
    #[serde(flatten)]
    last_use: LastUseView,
}

/// The fields that only a group access token has.
#[derive(Serialize, JsonSchema)]
struct BotView {
    /// The access level of its bot, `null` if that is no member any more; absent for a personal access token.
    access_level: Option<u8>,
    /// Absent for a personal access token.
    #[schemars(extend("const" = "group"))]
    resource_type: &'static str,
    /// The group; absent for a personal access token.
    resource_id: u64,
}

/// The last use of a token, with any of its secrets.
#[derive(Serialize, JsonSchema)]
pub(super) struct LastUseView {
    /// The time of the last use; `null`: none is known.
    last_used_at: Option<Time>,
    /// The addresses from which it was last used, the latest first.
    #[schemars(with = "Vec<String>")]
    last_used_ips: Vec<IpAddr>,
    /// The same addresses with their times.
    last_used_from: Vec<AddressUseView>,
}

/// The last use of a token from one address.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AddressUse")]
struct AddressUseView {
    #[schemars(with = "String")]
    ip_address: IpAddr,
    last_used_at: Time,
}

/// A token with its secret, in the response to the request that made the secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}WithSecret")]
pub(super) struct WithSecret<T> {
    #[serde(flatten)]
    shown: T,
    /// The secret, which is in no later response.
    token: String,
}

/// Returns an access token in GitLab's representation.
pub(super) fn view(caller: &Caller, token: &Token) -> AccessTokenView {
    AccessTokenView {
        id: token.id.0,
        name: token.name.clone(),
        description: token.description.clone(),
        revoked: token.revoked_at.is_some(),
        active: token.is_active(caller.now),
        created_at: Time(token.created_at),
        scopes: token.scopes.clone(),
        user_id: token.user().map(|user| user.0),
        expires_at: token.expires_at.map(Day),
        old_secret_expires_at: old_secret_end(caller, token),
        bot: bot(caller, token),
        last_use: LastUseView::of(caller, token),
    }
}

fn bot(caller: &Caller, token: &Token) -> Option<BotView> {
    let TokenOwner::Group { group, bot } = token.owner else { return None };
    // The bot of a new token is not in the directory that the caller began with.
    let directory = caller.state.identities.directory();
    let access_level = directory.membership(group, bot).map(|membership| membership.level.into());
    Some(BotView { access_level, resource_type: "group", resource_id: group.0 })
}

/// Returns the schema of the scopes of a token.
pub(super) fn scopes_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "enum": Scope::ALL.map(Scope::as_str)}})
}

impl LastUseView {
    /// Returns the last use of a token.
    pub(super) fn of(caller: &Caller, token: &Token) -> Self {
        let uses = last_address_uses(caller, token);
        let from = |one: &AddressUse| AddressUseView { ip_address: one.address, last_used_at: Time(one.at) };
        Self {
            last_used_at: last_use(caller, token).map(Time),
            last_used_ips: uses.iter().map(|one| one.address).collect(),
            last_used_from: uses.iter().map(from).collect(),
        }
    }
}

impl<T> WithSecret<T> {
    /// Adds the secret to the representation of a token.
    pub(super) fn of(shown: T, secret: &SecretString) -> Self {
        Self { shown, token: secret.expose_secret().to_owned() }
    }
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
pub(super) fn old_secret_end(caller: &Caller, token: &Token) -> Option<Time> {
    token.old_secret_end(caller.now).map(Time)
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
    let mut faults = Faults::default();
    let (name, description) = (faults.take(params.required_text("name")), faults.take(params.text("description")));
    let (scopes, end) = (faults.take(params.scopes()), faults.take(params.day("expires_at")));
    let (Some(name), Some(description), Some(scopes), Some(end)) = (name, description, scopes, end) else {
        return Err(faults.into());
    };
    let (secret, new_credential) = new_secret(kind);
    let ending = end.map_or(Ending::InDays(LIFE_DAYS), Ending::At);
    Ok((NewToken { name, description: description.unwrap_or_default(), scopes, ending, new_credential }, secret))
}

/// Returns the deleted tokens of these groups, as revoked ones, if the request includes them with `include_deleted`.
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

    /// Returns true if a token matches the filters.
    pub(super) fn fits(&self, token: &Token, now: Timestamp) -> bool {
        self.active.is_none_or(|active| active == token.is_active(now))
            && self.revoked.is_none_or(|revoked| revoked == token.revoked_at.is_some())
            && token.name.to_lowercase().contains(&self.search)
    }
}
