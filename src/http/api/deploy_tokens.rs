//! `/groups/:id/deploy_tokens`: tokens that pull for a group, with a user name of their own
//! (<https://docs.gitlab.com/api/deploy_tokens/>). An administrator may supply the secret, so that stored
//! credentials of a fleet stay valid when it moves to this service.

use std::sync::Arc;

use actix_web::web;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::access_tokens::{self, LastUseView, WithSecret, new_secret, old_secret_end};
use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::faults::Faults;
use super::pagination::Page;
use super::params::{Params, number};
use super::personal_tokens::revoked;
use super::response::{Body, Created, Found, ListPage, NoContent, Time};
use super::rotations::{Changed, Rotated, extended, instead_of, rotated_deploy_token};
use crate::auth::random;
use crate::auth::secret::{self, Kind};
use crate::domain::commands::maker::Ending;
use crate::domain::commands::token::{self as edit, NewCredential, NewToken};
use crate::domain::group::Group;
use crate::domain::id::{GroupId, TokenId};
use crate::domain::scope::Scopes;
use crate::domain::token::{Token, TokenOwner, check_supplied};

type GroupAndToken = web::Path<(String, String)>;

/// A deploy token in GitLab's representation.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeployToken")]
pub(super) struct DeployTokenView {
    id: u64,
    name: String,
    /// The user name that must be sent with it.
    // Only tokens of other kinds have none, and they are not shown as deploy tokens.
    #[schemars(with = "String")]
    username: Option<String>,
    /// The time from which it is no longer valid; `null`: it has no end.
    expires_at: Option<Time>,
    #[schemars(schema_with = "access_tokens::scopes_schema")]
    scopes: Scopes,
    revoked: bool,
    expired: bool,
    /// The end of the secret that a rotation replaced, while that is valid.
    old_secret_expires_at: Option<Time>,
    #[serde(flatten)]
    last_use: LastUseView,
}

/// Handles `POST /groups/:id/deploy_tokens`.
pub(super) async fn create(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Created<WithSecret<DeployTokenView>>, ApiError> {
    let brought = params.secret("token");
    let brings = brought.as_ref().is_ok_and(Option::is_some);
    let own = caller.may(move |caller| {
        let group = caller.group(&path, Right::Own)?;
        if brings { caller.administrator().map(|()| group) } else { Ok(group) }
    })?;
    params.require(&["name", "scopes"])?;
    let mut faults = Faults::default();
    let (name, username) = (faults.take(params.required_text("name")), faults.take(params.text("username")));
    let (scopes, end) = (faults.take(params.scopes()), faults.take(params.time("expires_at")));
    let brought = faults.take(brought.and_then(|secret| secret.map(taken_over).transpose()));
    let (Some(name), Some(username), Some(scopes), Some(end), Some(brought)) = (name, username, scopes, end, brought)
    else {
        return Err(faults.into());
    };
    let (secret, new_credential) = brought.unwrap_or_else(|| new_secret(Kind::Deploy));
    let ending = end.map_or(Ending::Never, Ending::At);
    let new = NewToken { name, description: String::new(), scopes, ending, new_credential };
    let username = username.filter(|name| !name.is_empty());
    let create = move |caller: &Authority<'_>, group: Arc<Group>| {
        edit::create_deploy(caller.directory, group.id, username, new, &caller.terms())
    };
    let token = caller.change("deploy token created", own, create).await?;
    Ok(Body(WithSecret::of(view(&caller, &token), &secret)))
}

/// Handles `GET /groups/:id/deploy_tokens`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<DeployTokenView>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    listed(&caller, &page, &params, |of| of == group)
}

/// Handles `GET /deploy_tokens`.
pub(super) async fn list_all(
    caller: Caller,
    page: Page,
    params: Params,
) -> Result<ListPage<DeployTokenView>, ApiError> {
    caller.authority().administrator()?;
    listed(&caller, &page, &params, |_| true)
}

/// Handles `GET /groups/:id/deploy_tokens/:token_id`.
pub(super) async fn show(caller: Caller, path: GroupAndToken) -> Result<Found<DeployTokenView>, ApiError> {
    let token = found(&caller.authority(), &path)?;
    Ok(Body(view(&caller, &token)))
}

/// Handles `POST /groups/:id/deploy_tokens/:token_id/rotate`. GitLab has no such route.
pub(super) async fn rotate(
    caller: Caller,
    path: GroupAndToken,
    params: Params,
) -> Result<Found<Rotated<DeployTokenView>>, ApiError> {
    let token = caller.may(move |caller| changeable(caller, &path))?;
    rotated_deploy_token(&caller, token, &params, view).await
}

/// Handles `PUT /groups/:id/deploy_tokens/:token_id`, which changes the expiry. GitLab has no such route.
pub(super) async fn extend(
    caller: Caller,
    path: GroupAndToken,
    params: Params,
) -> Result<Found<Changed<DeployTokenView>>, ApiError> {
    let token = caller.may(move |caller| changeable(caller, &path))?;
    extended(&caller, token, &params, view).await
}

/// Handles `DELETE /groups/:id/deploy_tokens/:token_id`.
pub(super) async fn delete(caller: Caller, path: GroupAndToken) -> Result<NoContent, ApiError> {
    let token = caller.may(move |caller| found(caller, &path))?;
    revoked(&caller, token).await
}

fn view(caller: &Caller, token: &Token) -> DeployTokenView {
    let username = token.owner.username().map(str::to_owned);
    DeployTokenView {
        id: token.id.0,
        name: token.name.clone(),
        username,
        expires_at: token.expires_at.map(Time),
        scopes: token.scopes.clone(),
        revoked: token.revoked_at.is_some(),
        expired: token.expires_at.is_some_and(|end| end <= caller.now),
        old_secret_expires_at: old_secret_end(caller, token),
        last_use: LastUseView::of(caller, token),
    }
}

fn listed(
    caller: &Caller,
    page: &Page,
    params: &Params,
    is_of: impl Fn(GroupId) -> bool,
) -> Result<ListPage<DeployTokenView>, ApiError> {
    let active = params.flag("active")?;
    let fits = |token: &Token| matches!(token.owner, TokenOwner::Deploy { group, .. } if is_of(group));
    let wanted = |token: &&Arc<Token>| fits(token) && active.is_none_or(|active| active == token.is_active(caller.now));
    let deleted = access_tokens::deleted(caller, params, &is_of)?;
    let tokens: Vec<Arc<Token>> = caller.directory.tokens().chain(&deleted).filter(wanted).cloned().collect();
    Ok(page.of(&caller.base_url, &tokens, |token| view(caller, token)))
}

/// Returns a secret that an administrator supplied, with the data that is stored of it.
fn taken_over(secret: SecretString) -> Result<(SecretString, NewCredential), ApiError> {
    check_supplied(secret.expose_secret()).map_err(|reason| ApiError::Invalid { field: "token", reason })?;
    let digest = secret::digest(secret.expose_secret());
    Ok((secret, NewCredential { credential: random::credential_id(), secret: digest, brought: true }))
}

fn is_of(token: &Token, group: GroupId) -> bool {
    matches!(token.owner, TokenOwner::Deploy { group: of, .. } if of == group)
}

/// Returns the deploy token with the number in a path, for owners of its group.
fn found(caller: &Authority<'_>, path: &(String, String)) -> Result<Arc<Token>, ApiError> {
    let group = caller.group(&path.0, Right::Own)?.id;
    let token = caller.directory.token(TokenId(number("token_id", &path.1)?));
    token.filter(|token| is_of(token, group)).cloned().ok_or(ApiError::NothingThere)
}

/// Returns the token as [`found`] does, for a change that a revoked one is refused by name.
fn changeable(caller: &Authority<'_>, path: &(String, String)) -> Result<Arc<Token>, ApiError> {
    found(caller, path).map_err(|error| instead_of(error, caller, path))
}
