//! `.../deletion`, `.../revocation` and `GET .../dependency_proxy/cache`: the objects that a change would remove,
//! for callers who may make it, so that a client can ask for confirmation. GitLab has no such routes. They change
//! nothing. If the change itself would be refused, they fail with the same status.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::{Caller, Right};
use super::error::ApiError;
use super::params::Params;
use super::{group_tokens, personal_tokens, users};
use crate::actors::janitor::Holdings;
use crate::domain::commands::loss::Loss;
use crate::domain::commands::{group, token, user};
use crate::domain::directory::{Directory, Write};
use crate::domain::id::GroupId;
use crate::domain::token::{Token, TokenOwner};

/// Maximum number of names in a list. Its total counts all of them.
const MAX_NAMES: usize = 20;

/// Handles `GET /groups/:id/deletion`.
pub(super) async fn of_group(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let top = caller.authority().group(&path, Right::Own)?.id;
    let (writes, groups) = group::delete(&caller.directory, top, caller.now)?;
    let mut loss = Loss::of(&caller.directory, &writes, caller.now);
    loss.groups.remove(&top);
    let mut shown = view(&caller.directory, &loss);
    shown["cache"] = cache(caller.state.purge.holdings(groups).await);
    Ok(HttpResponse::Ok().json(shown))
}

/// Handles `GET /groups/:id/dependency_proxy/cache`. Groups below it are not counted.
pub(super) async fn of_cache(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let group: GroupId = caller.authority().group(&path, Right::Own)?.id;
    Ok(HttpResponse::Ok().json(cache(caller.state.purge.holdings(vec![group]).await)))
}

/// Handles `GET /users/:id/deletion`.
pub(super) async fn of_user(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    let deleted = users::deletable(&caller.authority(), &path)?;
    let (writes, ()) = user::delete(&caller.directory, deleted, params.is_true("hard_delete")?, caller.now)?;
    Ok(HttpResponse::Ok().json(beside(&caller, &writes, |loss| drop(loss.users.remove(&deleted)))))
}

/// Handles `GET /personal_access_tokens/:id/revocation`.
pub(super) async fn of_token(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let token = personal_tokens::find(&caller.authority(), &path)?;
    of_revocation(&caller, &token)
}

/// Handles `GET /groups/:id/access_tokens/:token_id/revocation`.
pub(super) async fn of_group_token(
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let token = group_tokens::find(&caller.authority(), &path)?;
    of_revocation(&caller, &token)
}

fn of_revocation(caller: &Caller, revoked: &Token) -> Result<HttpResponse, ApiError> {
    let (writes, ()) = token::revoke(&caller.directory, revoked.id, caller.now)?;
    Ok(HttpResponse::Ok().json(beside(caller, &writes, |loss| drop(loss.tokens.remove(&revoked.id)))))
}

/// Returns the objects that these writes remove besides the one that the change is about, which `except` takes out.
fn beside(caller: &Caller, writes: &[Write], except: impl FnOnce(&mut Loss)) -> Value {
    let mut loss = Loss::of(&caller.directory, writes, caller.now);
    except(&mut loss);
    view(&caller.directory, &loss)
}

/// Returns the names of the objects in a loss, by kind.
pub(super) fn view(directory: &Directory, loss: &Loss) -> Value {
    let username = |id| directory.user(id).map_or_else(|| "?".to_owned(), |user| user.username.to_string());
    let path = |id| directory.group(id).map_or_else(|| "?".to_owned(), |group| group.path.to_string());
    json!({
        "groups": listed(loss.groups.values().map(|group| group.path.to_string())),
        "users": listed(loss.users.values().map(|user| user.username.to_string())),
        "members": listed(loss.members.keys().map(|(group, user)| format!("{} in {}", username(*user), path(*group)))),
        "tokens": listed(loss.tokens.values().map(|token| named(token, username, path))),
    })
}

fn named(
    token: &Arc<Token>,
    username: impl Fn(crate::domain::id::UserId) -> String,
    path: impl Fn(GroupId) -> String,
) -> String {
    match &token.owner {
        TokenOwner::Personal { user } => format!("'{}' of {}", token.name, username(*user)),
        TokenOwner::Group { group, .. } | TokenOwner::Deploy { group, .. } => {
            format!("'{}' in {}", token.name, path(*group))
        }
    }
}

fn listed(names: impl Iterator<Item = String>) -> Value {
    let names: Vec<String> = names.collect();
    json!({"total": names.len(), "names": names[..names.len().min(MAX_NAMES)]})
}

fn cache(holdings: Option<Holdings>) -> Value {
    holdings.map_or(Value::Null, |Holdings { tags, bytes }| json!({"tags": tags, "bytes": bytes}))
}
