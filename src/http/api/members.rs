//! `/groups/:id/members`: the members of a group (<https://docs.gitlab.com/api/members/>). Callers who see the
//! group see them; its owners change them.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller::{Authority, Caller, Right};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use super::users;
use crate::domain::access::Membership;
use crate::domain::commands::member::{self as edit, MemberChange, NewMember};
use crate::domain::id::UserId;
use crate::domain::policy;
use crate::domain::user::User;

type GroupAndUser = web::Path<(String, String)>;

/// Handles `GET /users/:id/memberships`: the groups of which a user is a direct member, for administrators and the
/// user. There are no projects.
pub(super) async fn of_user(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let user = number("id", &path)?;
    caller.authority().administrator_or(UserId(user))?;
    let user = users::find(&caller.authority(), &path)?.id;
    let groups = match params.text("type")?.as_deref() {
        None | Some("" | "Namespace") => true,
        Some("Project") => false,
        Some(_) => return Err(ApiError::invalid_value("type")),
    };
    let own = caller.directory.memberships().filter(|member| groups && member.user == user);
    let own: Vec<Arc<Membership>> = own.cloned().collect();
    Ok(page.of(&caller.base_url, &own, |member| source(&caller, member)))
}

fn source(caller: &Caller, member: &Membership) -> Value {
    let group = caller.directory.group(member.group);
    json!({
        "source_id": member.group,
        "source_name": group.map(|group| group.name.as_str()),
        "source_type": "Namespace",
        "source_full_path": group.map(|group| group.path.as_str()),
        "access_level": member.level,
        "expires_at": member.expires_at.map(|end| end.to_zoned(jiff::tz::TimeZone::UTC).date()),
    })
}

/// Handles `POST /groups/:id/members`.
pub(super) async fn add(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    let own = caller.may(move |caller| Ok(caller.group(&path, Right::Own)?.id))?;
    let level = params.level("access_level")?;
    let level = level.ok_or_else(|| ApiError::Parameter("access_level is missing".to_owned()))?;
    let user = named(&caller, &params)?.id;
    let expires_at = end(&params, caller.now)?;
    let add = move |caller: &Authority<'_>, group| {
        edit::add(caller.directory, NewMember { group, user, level, expires_at }, &caller.terms())
    };
    let member = caller.change("member added", own, add).await?;
    Ok(HttpResponse::Created().json(view(&caller, &member)))
}

/// Handles `GET /groups/:id/members`.
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path, Right::See)?.id;
    let members = matching(&caller, &params, caller.directory.members(group).cloned())?;
    Ok(page.of(&caller.base_url, &members, |member| view(&caller, member)))
}

/// Handles `GET /groups/:id/members/all`.
pub(super) async fn list_all(
    caller: Caller,
    path: web::Path<String>,
    page: Page,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path, Right::See)?.id;
    let members = matching(&caller, &params, policy::members(&caller.directory, group, caller.now).into_values())?;
    Ok(page.of(&caller.base_url, &members, |member| view(&caller, member)))
}

/// Handles `GET /groups/:id/members/:user_id`.
pub(super) async fn show(caller: Caller, path: GroupAndUser) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path.0, Right::See)?.id;
    let member = caller.directory.membership(group, user_id(&path.1)?).ok_or(ApiError::NothingThere)?;
    Ok(HttpResponse::Ok().json(view(&caller, member)))
}

/// Handles `GET /groups/:id/members/all/:user_id`.
pub(super) async fn show_all(caller: Caller, path: GroupAndUser) -> Result<HttpResponse, ApiError> {
    let group = caller.authority().group(&path.0, Right::See)?.id;
    let member = policy::members(&caller.directory, group, caller.now)
        .remove(&user_id(&path.1)?)
        .ok_or(ApiError::NothingThere)?;
    Ok(HttpResponse::Ok().json(view(&caller, &member)))
}

/// Handles `PUT /groups/:id/members/:user_id`.
pub(super) async fn update(caller: Caller, path: GroupAndUser, params: Params) -> Result<HttpResponse, ApiError> {
    let user = user_id(&path.1);
    let own = caller.may(move |caller| Ok(caller.group(&path.0, Right::Own)?.id))?;
    let user = user?;
    let endless = params.is_blank("expires_at").then_some(None);
    let expires_at = end(&params, caller.now)?.map(Some).or(endless);
    let change = MemberChange { level: params.level("access_level")?, expires_at };
    let update =
        move |caller: &Authority<'_>, group| edit::update(caller.directory, group, user, change, &caller.terms());
    let member = caller.change("member changed", own, update).await?;
    Ok(HttpResponse::Ok().json(view(&caller, &member)))
}

/// Handles `DELETE /groups/:id/members/:user_id`. Every member may leave.
pub(super) async fn remove(caller: Caller, path: GroupAndUser) -> Result<HttpResponse, ApiError> {
    let user = user_id(&path.1)?;
    let may = caller.may(move |caller| {
        let right = if user == caller.user.id { Right::See } else { Right::Own };
        Ok(caller.group(&path.0, right)?.id)
    })?;
    let remove = move |caller: &Authority<'_>, group| edit::remove(caller.directory, group, user, caller.now);
    caller.change("member removed", may, remove).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn view(caller: &Caller, member: &Membership) -> Value {
    let user = caller.directory.user(member.user);
    let mut shown = user.map_or_else(|| json!({"id": member.user}), |user| users::basic(user, &caller.base_url));
    shown["access_level"] = json!(member.level);
    shown["created_at"] = json!(format!("{:.3}", member.created_at));
    shown["expires_at"] = json!(member.expires_at.map(|end| end.to_zoned(jiff::tz::TimeZone::UTC).date()));
    shown["membership_state"] = json!("active");
    shown
}

fn named(caller: &Caller, params: &Params) -> Result<Arc<User>, ApiError> {
    let user = match (params.number("user_id")?, params.text("username")?) {
        (None, None) => {
            let text = "user_id, username are missing, at least one parameter must be provided";
            return Err(ApiError::Parameter(text.to_owned()));
        }
        (Some(id), _) => caller.directory.user(UserId(id)),
        (None, Some(name)) => caller.directory.user_named(&name),
    };
    user.cloned().ok_or(ApiError::NotFound("User"))
}

fn user_id(text: &str) -> Result<UserId, ApiError> {
    number("user_id", text).map(UserId)
}

fn end(params: &Params, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let end = params.day("expires_at")?;
    if end.is_some_and(|end| end <= now) {
        let reason = "cannot be a date in the past".to_owned();
        return Err(ApiError::Invalid { field: "expires_at", reason });
    }
    Ok(end)
}

fn matching(
    caller: &Caller,
    params: &Params,
    members: impl Iterator<Item = Arc<Membership>>,
) -> Result<Vec<Arc<Membership>>, ApiError> {
    let query = params.text("query")?.unwrap_or_default().to_lowercase();
    let found = |text: &str| text.to_lowercase().contains(&query);
    let fits = |user: &Arc<User>| found(&user.name) || found(user.username.as_str());
    Ok(members.filter(|member| caller.directory.user(member.user).is_some_and(fits)).collect())
}
