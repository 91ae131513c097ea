//! `/groups/:id/access_tokens`: tokens that act as a bot, which is a member of the group
//! (<https://docs.gitlab.com/api/group_access_tokens/>). They are managed by owners of the group. As in GitLab,
//! such a token cannot create another.

use std::sync::Arc;

use actix_web::web;

use super::access_tokens::{self, AccessTokenView, Filter, WithSecret, described, view};
use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use super::personal_tokens::revoked;
use super::response::{Body, Created, Found, ListPage, NoContent};
use super::rotations::{Changed, Rotated, extended, instead_of, rotated};
use crate::auth::secret::Kind;
use crate::domain::access::AccessLevel;
use crate::domain::commands::token as edit;
use crate::domain::id::{GroupId, TokenId};
use crate::domain::token::{Token, TokenOwner};

type GroupAndToken = web::Path<(String, String)>;

/// Handles `POST /groups/:id/access_tokens`.
pub(super) async fn create(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Created<WithSecret<AccessTokenView>>, ApiError> {
    let own = caller.may(move |caller| {
        let group = caller.group(&path, Right::Own)?;
        match caller.user.bot_of {
            None => Ok(group.id),
            Some(_) => Err(ApiError::Refused("A group access token cannot make another")),
        }
    })?;
    let level = params.level("access_level")?.unwrap_or(AccessLevel::Maintainer);
    let (new, secret) = described(&params, Kind::Group)?;
    let create =
        move |caller: &Authority<'_>, group| edit::create_group(caller.directory, group, level, new, &caller.terms());
    let token = caller.change("group access token created", own, create).await?;
    Ok(Body(WithSecret::of(view(&caller, &token), &secret)))
}

/// Handles `GET /groups/:id/access_tokens`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<ListPage<AccessTokenView>, ApiError> {
    let group = caller.authority().group(&path, Right::Own)?.id;
    let filter = Filter::read(&params)?;
    let fits = |token: &&Arc<Token>| is_of(token, group) && filter.fits(token, caller.now);
    let deleted = access_tokens::deleted(&caller, &params, |of| of == group)?;
    let tokens: Vec<Arc<Token>> = caller.directory.tokens().chain(&deleted).filter(fits).cloned().collect();
    Ok(page.of(&caller.base_url, &tokens, |token| view(&caller, token)))
}

/// Handles `GET /groups/:id/access_tokens/:token_id`.
pub(super) async fn show(caller: Caller, path: GroupAndToken) -> Result<Found<AccessTokenView>, ApiError> {
    let token = find(&caller.authority(), &path)?;
    Ok(Body(view(&caller, &token)))
}

/// Handles `POST /groups/:id/access_tokens/:token_id/rotate`.
pub(super) async fn rotate(
    caller: Caller,
    path: GroupAndToken,
    params: Params,
) -> Result<Found<Rotated<AccessTokenView>>, ApiError> {
    let token = caller.may(move |caller| changeable(caller, &path))?;
    rotated(&caller, token, &params).await
}

/// Handles `POST /groups/:id/access_tokens/self/rotate`.
pub(super) async fn rotate_self(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<Rotated<AccessTokenView>>, ApiError> {
    let own = caller.may(move |caller| {
        let group = caller.group(&path, Right::See)?.id;
        let own = caller.token()?;
        if is_of(own, group) { Ok(own.clone()) } else { Err(ApiError::Unauthorized) }
    })?;
    rotated(&caller, own, &params).await
}

/// Handles `PUT /groups/:id/access_tokens/:token_id`, which changes the expiry.
pub(super) async fn extend(
    caller: Caller,
    path: GroupAndToken,
    params: Params,
) -> Result<Found<Changed<AccessTokenView>>, ApiError> {
    let token = caller.may(move |caller| changeable(caller, &path))?;
    extended(&caller, token, &params, view).await
}

/// Handles `DELETE /groups/:id/access_tokens/:token_id`. The bot is deleted, too.
pub(super) async fn revoke(caller: Caller, path: GroupAndToken) -> Result<NoContent, ApiError> {
    let token = caller.may(move |caller| find(caller, &path))?;
    revoked(&caller, token).await
}

fn is_of(token: &Token, group: GroupId) -> bool {
    matches!(token.owner, TokenOwner::Group { group: of, .. } if of == group)
}

/// Returns the group access token with the number in a path, for owners of its group.
///
/// # Errors
/// The group or the token does not exist, or the caller is not an owner.
pub(super) fn find(caller: &Authority<'_>, path: &(String, String)) -> Result<Arc<Token>, ApiError> {
    let group = caller.group(&path.0, Right::Own)?.id;
    let token = caller.directory.token(TokenId(number("token_id", &path.1)?));
    token.filter(|token| is_of(token, group)).cloned().ok_or(ApiError::NothingThere)
}

/// Returns the token as [`find`] does, for a change that a revoked one is refused by name.
fn changeable(caller: &Authority<'_>, path: &(String, String)) -> Result<Arc<Token>, ApiError> {
    find(caller, path).map_err(|error| instead_of(error, caller, path))
}
