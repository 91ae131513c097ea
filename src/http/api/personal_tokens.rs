//! `/personal_access_tokens` (<https://docs.gitlab.com/api/personal_access_tokens/>): users see and revoke their
//! own tokens, administrators those of all users. As in GitLab, these routes also reach group access tokens, which
//! are tokens of bots.

use std::sync::Arc;

use actix_web::web;

use super::access_tokens::{AccessTokenView, Filter, WithSecret, described, view};
use super::caller::{AnyScope, Authority, Caller, Permission};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use super::response::{Body, Created, Found, ListPage, NoContent};
use super::rotations::{Changed, Rotated, extended, rotated};
use super::users;
use crate::auth::secret::Kind;
use crate::domain::commands::token as edit;
use crate::domain::id::{TokenId, UserId};
use crate::domain::token::Token;

/// Handles `POST /users/:id/personal_access_tokens`.
pub(super) async fn create(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Created<WithSecret<AccessTokenView>>, ApiError> {
    let owner = caller.may(move |caller| {
        let user = users::find(caller, &path)?.id;
        caller.administrator_or(user).map(|()| user)
    })?;
    let (new, secret) = described(&params, Kind::Personal)?;
    let create =
        move |caller: &Authority<'_>, user| edit::create_personal(caller.directory, user, new, &caller.terms());
    let token = caller.change("personal access token created", owner, create).await?;
    Ok(Body(WithSecret::of(view(&caller, &token), &secret)))
}

/// Handles `GET /personal_access_tokens`.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<ListPage<AccessTokenView>, ApiError> {
    let requested = params.number("user_id")?.map(UserId);
    if !caller.user.admin && requested.is_some_and(|user| user != caller.user.id) {
        return Err(ApiError::Unauthorized);
    }
    let owner = if caller.user.admin { requested } else { Some(caller.user.id) };
    let filter = Filter::read(&params)?;
    let fits = |token: &&Arc<Token>| {
        token.user().is_some_and(|user| owner.is_none_or(|owner| owner == user)) && filter.fits(token, caller.now)
    };
    let tokens: Vec<Arc<Token>> = caller.directory.tokens().filter(fits).cloned().collect();
    Ok(page.of(&caller.base_url, &tokens, |token| view(&caller, token)))
}

/// Handles `GET /personal_access_tokens/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<Found<AccessTokenView>, ApiError> {
    let token = find(&caller.authority(), &path)?;
    Ok(Body(view(&caller, &token)))
}

/// Handles `GET /personal_access_tokens/self`, with any scope.
pub(super) async fn show_self(AnyScope(caller): AnyScope) -> Result<Found<AccessTokenView>, ApiError> {
    let token = caller.authority().token()?;
    Ok(Body(view(&caller, token)))
}

/// Handles `POST /personal_access_tokens/:id/rotate`.
pub(super) async fn rotate(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<Rotated<AccessTokenView>>, ApiError> {
    let token = caller.may(move |caller| find(caller, &path))?;
    rotated(&caller, token, &params).await
}

/// Handles `POST /personal_access_tokens/self/rotate`.
pub(super) async fn rotate_self(caller: Caller, params: Params) -> Result<Found<Rotated<AccessTokenView>>, ApiError> {
    let token = caller.may(|caller| caller.token().cloned())?;
    rotated(&caller, token, &params).await
}

/// Handles `PUT /personal_access_tokens/:id`, which changes the expiry.
pub(super) async fn extend(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<Changed<AccessTokenView>>, ApiError> {
    let token = caller.may(move |caller| find(caller, &path))?;
    extended(&caller, token, &params, view).await
}

/// Handles `DELETE /personal_access_tokens/:id`.
pub(super) async fn revoke(caller: Caller, path: web::Path<String>) -> Result<NoContent, ApiError> {
    let token = caller.may(move |caller| find(caller, &path))?;
    revoked(&caller, token).await
}

/// Handles `DELETE /personal_access_tokens/self`, with any scope.
pub(super) async fn revoke_self(AnyScope(caller): AnyScope) -> Result<NoContent, ApiError> {
    let token = caller.may(|caller| caller.token().cloned())?;
    revoked(&caller, token).await
}

/// Revokes the token of the permission.
pub(super) async fn revoked<D>(caller: &Caller, token: Permission<D, Arc<Token>>) -> Result<NoContent, ApiError>
where
    D: Fn(&Authority<'_>) -> Result<Arc<Token>, ApiError> + Send + 'static,
{
    let revoke = move |caller: &Authority<'_>, token: Arc<Token>| edit::revoke(caller.directory, token.id, caller.now);
    caller.change("token revoked", token, revoke).await?;
    Ok(NoContent)
}

/// Returns the token with the number in a path, if it acts as the caller or the caller is an administrator.
///
/// # Errors
/// The number is malformed, or there is no such token. Callers who are not administrators get the same error
/// whether or not it exists.
pub(super) fn find(caller: &Authority<'_>, id: &str) -> Result<Arc<Token>, ApiError> {
    let token = caller.directory.token(TokenId(number("id", id)?)).filter(|token| token.user().is_some());
    if caller.user.admin {
        return token.cloned().ok_or(ApiError::NothingThere);
    }
    let own = |token: &&Arc<Token>| token.user() == Some(caller.user.id);
    token.filter(own).cloned().ok_or(ApiError::Unauthorized)
}
