//! `/tokens`: tokens of every kind and group, as far as the caller may see them. Deleted tokens of groups are listed as
//! revoked while they have tombstones. GitLab has no such route: a caller that looks for a token there has to know its
//! group and its kind.

use std::sync::Arc;

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::access_tokens::{self, Filter, LastUseView, old_secret_end};
use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use super::response::{Body, Found, ListPage, Time};
use crate::domain::access::AccessLevel;
use crate::domain::directory::Directory;
use crate::domain::id::{TokenId, UserId};
use crate::domain::scope::Scopes;
use crate::domain::token::{Token, TokenOwner};

/// A token of any kind.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(super) struct TokenView {
    id: u64,
    name: String,
    description: String,
    kind: TokenKind,
    /// The path of its group; `null` for a personal access token.
    group: Option<String>,
    /// The number of its group; `null` for a personal access token.
    group_id: Option<u64>,
    /// The user name with which it logs in; `null` for a group access token, which works with any.
    username: Option<String>,
    /// The user as which it acts; `null` for a deploy token.
    user_id: Option<u64>,
    #[schemars(schema_with = "access_tokens::scopes_schema")]
    scopes: Scopes,
    /// The access level of its bot in the group; only for a group access token.
    access_level: Option<u8>,
    /// True while it is neither revoked nor expired.
    active: bool,
    revoked: bool,
    revoked_at: Option<Time>,
    /// The time when its present secret was made.
    created_at: Time,
    /// The user who made it, as a phrase if that is no user name; `null` if that is not known.
    created_by: Option<String>,
    /// The time from which it is no longer valid; `null`: it has no end.
    expires_at: Option<Time>,
    /// The end of the secret that a rotation replaced, while that is valid.
    old_secret_expires_at: Option<Time>,
    #[serde(flatten)]
    last_use: LastUseView,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum TokenKind {
    Personal,
    Group,
    Deploy,
}

/// Handles `GET /tokens`. `find` selects the tokens with exactly this number, name or user name.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<ListPage<TokenView>, ApiError> {
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
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<Found<TokenView>, ApiError> {
    let id = TokenId(number("id", &path)?);
    let token = caller.directory.token(id).cloned().or_else(|| deleted(&caller.directory, id));
    let token = token.filter(|token| sees(&caller.authority(), token)).ok_or(ApiError::NothingThere)?;
    Ok(Body(view(&caller, &token)))
}

/// Returns the deleted token of a group with this number, as a revoked one.
pub(super) fn deleted(directory: &Directory, id: TokenId) -> Option<Arc<Token>> {
    directory.deleted_tokens(|_, number| number == id).pop()
}

/// Returns true if the caller may know of a token: administrators may know of all, users of their own, and owners
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

fn view(caller: &Caller, token: &Token) -> TokenView {
    let group = token.group().and_then(|group| caller.directory.group(group));
    let (kind, membership) = match token.owner {
        TokenOwner::Personal { .. } => (TokenKind::Personal, None),
        TokenOwner::Group { group, bot } => (TokenKind::Group, caller.directory.membership(group, bot)),
        TokenOwner::Deploy { .. } => (TokenKind::Deploy, None),
    };
    TokenView {
        id: token.id.0,
        name: token.name.clone(),
        description: token.description.clone(),
        kind,
        group: group.map(|group| group.path.to_string()),
        group_id: token.group().map(|group| group.0),
        username: username(caller, token),
        user_id: token.user().map(|user| user.0),
        scopes: token.scopes.clone(),
        access_level: membership.map(|membership| membership.level.into()),
        active: token.is_active(caller.now),
        revoked: token.revoked_at.is_some(),
        revoked_at: token.revoked_at.map(Time),
        created_at: Time(token.created_at),
        created_by: token.created_by.map(|user| creator(caller, user)),
        expires_at: token.expires_at.map(Time),
        old_secret_expires_at: old_secret_end(caller, token),
        last_use: LastUseView::of(caller, token),
    }
}

fn creator(caller: &Caller, user: UserId) -> String {
    match caller.directory.user(user) {
        Some(user) if user.bot_of.is_some() => format!("group token '{}'", user.name),
        Some(user) => user.username.to_string(),
        None => format!("user {user}, who is deleted"),
    }
}
