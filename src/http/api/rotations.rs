//! `POST .../rotate` and `PUT .../:id` of tokens, which change the secret and the expiry. The routes decide whether
//! the caller may change the token.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;

use super::access_tokens::{AccessTokenView, WithSecret, new_secret, view};
use super::caller::{Authority, Caller, Permission, Right};
use super::error::ApiError;
use super::losses::Lost;
use super::params::Params;
use super::response::{Body, Found};
use super::tokens;
use crate::auth::secret::Kind;
use crate::domain::commands::loss::Loss;
use crate::domain::commands::maker::Ending;
use crate::domain::commands::rotation::{self, Rotation};
use crate::domain::directory::Write;
use crate::domain::id::TokenId;
use crate::domain::overlap::Overlap;
use crate::domain::token::{Token, TokenOwner};

/// Lifetime of a rotated access token if the request states no expiry. The same as GitLab's.
const ROTATED_LIFE_DAYS: i64 = 7;

/// A token whose end may have changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Changed{T}")]
pub(super) struct Changed<T> {
    #[serde(flatten)]
    token: T,
    /// The other tokens and the memberships whose ends that brought forward; absent if there are none.
    #[serde(skip_serializing_if = "Lost::is_empty")]
    brought_forward: Lost,
}

/// A token with the secret that a rotation has given it.
pub(super) type Rotated<T> = WithSecret<Changed<T>>;

/// Rotates the access token of the permission and responds with it. Without `overlap` it is replaced at once, as in
/// GitLab.
pub(super) async fn rotated<D>(
    caller: &Caller,
    token: Permission<D, Arc<Token>>,
    params: &Params,
) -> Result<Found<Rotated<AccessTokenView>>, ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let ending = params.day("expires_at")?.map_or(Ending::InDays(ROTATED_LIFE_DAYS), Ending::At);
    let overlap = params.overlap()?.unwrap_or(Overlap::NONE);
    with_new_secret(caller, token, Some(ending), overlap, view).await
}

/// Rotates the deploy token of the permission and responds with it.
pub(super) async fn rotated_deploy_token<D, V>(
    caller: &Caller,
    token: Permission<D, Arc<Token>>,
    params: &Params,
    view: fn(&Caller, &Token) -> V,
) -> Result<Found<Rotated<V>>, ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let ending = params.time("expires_at")?.map(Ending::At);
    let overlap = params.overlap()?.unwrap_or(Overlap::DEFAULT);
    with_new_secret(caller, token, ending, overlap, view).await
}

/// Changes the expiry of the token of the permission, keeps its secret, and responds with it. With `null` the token
/// has no end any more.
pub(super) async fn extended<D, V>(
    caller: &Caller,
    token: Permission<D, Arc<Token>>,
    params: &Params,
    view: fn(&Caller, &Token) -> V,
) -> Result<Found<Changed<V>>, ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let end = match token.granted.owner {
        TokenOwner::Deploy { .. } => params.time("expires_at")?,
        TokenOwner::Personal { .. } | TokenOwner::Group { .. } => params.day("expires_at")?,
    };
    // An empty text, as of a variable that is not set, must not make a token endless: only `null` does.
    if end.is_none() && !params.is_null("expires_at") {
        return Err(ApiError::Parameter("expires_at is missing".to_owned()));
    }
    let extend = move |caller: &Authority<'_>, token: Arc<Token>| {
        caller.check_secret(&token)?;
        rotation::extend(caller.directory, token.id, end, &caller.terms()).map(|change| with_others(caller, change))
    };
    let old = token.granted.expires_at;
    let (token, brought_forward) =
        caller.change_named(token, extend, move |(token, _)| what_changed(old, token)).await?;
    Ok(Body(Changed { token: view(caller, &token), brought_forward }))
}

/// Returns the name in the log of a change of a token's end from `old`.
fn what_changed(old: Option<Timestamp>, token: &Token) -> &'static str {
    match (old, token.expires_at) {
        (None, Some(_)) => "token shortened",
        (Some(old), Some(new)) if new < old => "token shortened",
        (_, _) => "token extended",
    }
}

async fn with_new_secret<D, V>(
    caller: &Caller,
    token: Permission<D, Arc<Token>>,
    ending: Option<Ending>,
    overlap: Overlap,
    view: fn(&Caller, &Token) -> V,
) -> Result<Found<Rotated<V>>, ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let (token, brought_forward, secret) = rotate(caller, token, ending, overlap).await?;
    let changed = Changed { token: view(caller, &token), brought_forward };
    Ok(Body(WithSecret::of(changed, &secret)))
}

/// Rotates the token of the permission. Returns it with its new secret, and the others whose ends that brought forward.
///
/// # Errors
///
/// Fails if a rule forbids it, or if the old secret of this very token was presented.
pub(in crate::http) async fn rotate<D>(
    caller: &Caller,
    token: Permission<D, Arc<Token>>,
    ending: Option<Ending>,
    overlap: Overlap,
) -> Result<(Token, Lost, SecretString), ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let (secret, new_credential) = new_secret(kind_of(&token.granted));
    let rotation = Rotation { ending, new_credential, overlap };
    let rotate = move |caller: &Authority<'_>, token: Arc<Token>| {
        caller.check_secret(&token)?;
        rotation::rotate(caller.directory, token.id, rotation, &caller.terms())
            .map(|change| with_others(caller, change))
    };
    let (token, others) = caller.change("token rotated", token, rotate).await?;
    Ok((token, others, secret))
}

/// Adds to a change of a token the others whose ends it brings forward.
fn with_others(caller: &Authority<'_>, (writes, token): (Vec<Write>, Token)) -> (Vec<Write>, (Token, Lost)) {
    let loss = Loss::brought_forward(caller.directory, &writes, token.id, caller.now);
    (writes, (token, Lost::of(caller, &loss)))
}

/// Returns the refusal to rotate or extend a token of a group that is not there: if it was revoked and its tombstone is
/// still kept, one that states so, or else `error`. The path has the group and the number of the token.
pub(super) fn instead_of(error: ApiError, caller: &Authority<'_>, (group, id): &(String, String)) -> ApiError {
    let ApiError::NothingThere = error else { return error };
    let group = caller.group(group, Right::Own).ok().map(|group| group.id);
    let deleted = id.parse().ok().and_then(|id| tokens::deleted(caller.directory, TokenId(id)));
    match deleted.filter(|token| token.group() == group) {
        Some(_) => ApiError::Refused("The token is revoked, so it cannot be rotated or extended: make another"),
        None => error,
    }
}

/// Returns the kind of secret that this token has.
fn kind_of(token: &Token) -> Kind {
    match token.owner {
        TokenOwner::Personal { .. } => Kind::Personal,
        TokenOwner::Group { .. } => Kind::Group,
        TokenOwner::Deploy { .. } => Kind::Deploy,
    }
}
