//! `/tokens`: tokens of every kind and group, as far as the caller may see them. Deleted tokens of groups are listed as
//! revoked while they have tombstones. GitLab has no such route: a caller that looks for a token there has to know its
//! group and its kind.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::access_tokens::{Filter, old_secret_end, with_last_use};
use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use crate::domain::access::AccessLevel;
use crate::domain::directory::Directory;
use crate::domain::id::{TokenId, UserId};
use crate::domain::token::{Token, TokenOwner};

/// Handles `GET /tokens`. `find` selects the tokens with exactly this number, name or user name.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<HttpResponse, ApiError> {
    let (filter, wanted) = (Filter::read(&params)?, params.text("find")?);
    let authority = caller.authority();
    let fits = |token: &&Arc<Token>| {
        sees(&authority, token)
            && filter.fits(token, caller.now)
            && wanted.as_ref().is_none_or(|wanted| is_called(&caller, token, wanted))
    };
    let deleted = caller.directory.deleted_tokens(|group, _| authority.level(group) >= Some(AccessLevel::Owner));
    let mut tokens: Vec<Arc<Token>> = caller.directory.tokens().chain(&deleted).filter(fits).cloned().collect();
    tokens.sort_by_key(|token| token.id);
    Ok(page.of(&caller.base_url, &tokens, |token| view(&caller, token)))
}

/// Handles `GET /tokens/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = TokenId(number("id", &path)?);
    let token = caller.directory.token(id).cloned().or_else(|| deleted(&caller.directory, id));
    let token = token.filter(|token| sees(&caller.authority(), token)).ok_or(ApiError::NothingThere)?;
    Ok(HttpResponse::Ok().json(view(&caller, &token)))
}

/// Returns the deleted token of a group with this number, as a revoked one.
pub(super) fn deleted(directory: &Directory, id: TokenId) -> Option<Arc<Token>> {
    directory.deleted_tokens(|_, number| number == id).pop()
}

/// Returns whether the caller may know of a token: administrators may know of all, users of their own, and owners
/// of those of their groups.
fn sees(caller: &Authority<'_>, token: &Token) -> bool {
    let owns = |group| caller.level(group) >= Some(AccessLevel::Owner);
    caller.user.admin || token.user() == Some(caller.user.id) || token.group().is_some_and(owns)
}

fn is_called(caller: &Caller, token: &Token, wanted: &str) -> bool {
    token.id.to_string() == wanted
        || token.name == wanted
        || username(caller, token).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

/// Returns the user name with which a token logs in. A group access token works with any, so it has none.
fn username(caller: &Caller, token: &Token) -> Option<String> {
    match &token.owner {
        TokenOwner::Deploy { username, .. } => Some(username.clone()),
        TokenOwner::Personal { user } => caller.directory.user(*user).map(|user| user.username.to_string()),
        TokenOwner::Group { .. } => None,
    }
}

fn view(caller: &Caller, token: &Token) -> Value {
    let group = token.group().and_then(|group| caller.directory.group(group));
    let membership = match token.owner {
        TokenOwner::Group { group, bot } => caller.directory.membership(group, bot),
        TokenOwner::Personal { .. } | TokenOwner::Deploy { .. } => None,
    };
    let shown = json!({
        "id": token.id,
        "name": token.name,
        "description": token.description,
        "kind": kind(token),
        "group": group.map(|group| group.path.as_str()),
        "group_id": token.group(),
        "username": username(caller, token),
        "user_id": token.user(),
        "scopes": token.scopes,
        "access_level": membership.map(|membership| membership.level),
        "active": token.is_active(caller.now),
        "revoked": token.revoked_at.is_some(),
        "revoked_at": token.revoked_at.map(|at| format!("{at:.3}")),
        "created_at": format!("{:.3}", token.created_at),
        "created_by": token.created_by.map(|user| creator(caller, user)),
        "expires_at": token.expires_at.map(|end| format!("{end:.3}")),
        "old_secret_expires_at": old_secret_end(caller, token),
    });
    with_last_use(shown, caller, token)
}

fn kind(token: &Token) -> &'static str {
    match token.owner {
        TokenOwner::Personal { .. } => "personal",
        TokenOwner::Group { .. } => "group",
        TokenOwner::Deploy { .. } => "deploy",
    }
}

fn creator(caller: &Caller, user: UserId) -> String {
    match caller.directory.user(user) {
        Some(user) if user.bot_of.is_some() => format!("group token '{}'", user.name),
        Some(user) => user.username.to_string(),
        None => format!("user {user}, who is deleted"),
    }
}
