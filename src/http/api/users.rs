//! `/users` and `/user` (<https://docs.gitlab.com/api/users/>). All callers see the users; only administrators see
//! all fields and change them.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use super::user_changes::{self, administered, hashed};
use crate::domain::commands::user::{self as edit, NewUser, UserChange};
use crate::domain::id::UserId;
use crate::domain::user::{User, Username};

/// Handles `POST /users`.
pub(super) async fn create(caller: Caller, params: Params) -> Result<HttpResponse, ApiError> {
    caller.authority().administrator()?;
    params.require(&["name", "username"])?;
    let (password, none) = (params.secret("password")?, params.is_true("force_random_password")?);
    if password.is_none() && !none {
        let text = "password, force_random_password are missing, at least one parameter must be provided";
        return Err(ApiError::Parameter(text.to_owned()));
    }
    let new = NewUser {
        username: username(&params.required_text("username")?)?,
        name: params.required_text("name")?,
        email: params.text("email")?.unwrap_or_default(),
        admin: params.is_true("admin")?,
        password: hashed(&caller, password.filter(|_| !none)).await?,
    };
    let user = user_changes::create(&caller, new).await?;
    Ok(HttpResponse::Created().json(full(&user, &caller.base_url)))
}

/// Handles `GET /users`.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<HttpResponse, ApiError> {
    let filter = Filter::read(&params, caller.user.admin)?;
    let mut users: Vec<Arc<User>> = caller.directory.users().filter(|user| filter.fits(user)).cloned().collect();
    match params.text("order_by")?.as_deref() {
        Some("name") => users.sort_by_key(|user| user.name.to_lowercase()),
        Some("username") => users.sort_by_key(|user| user.username.folded()),
        _ => {}
    }
    if params.text("sort")?.as_deref() != Some("asc") {
        users.reverse();
    }
    Ok(page.of(&caller.base_url, &users, |user| seen_by(&caller, user)))
}

/// Handles `GET /users/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let user = find(&caller.authority(), &path)?;
    Ok(HttpResponse::Ok().json(seen_by(&caller, &user)))
}

/// Handles `GET /user`.
pub(super) async fn current(caller: Caller) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(full(&caller.user, &caller.base_url)))
}

/// Handles `PUT /users/:id`.
pub(super) async fn update(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    let id = id(&path)?;
    let user = caller.may(move |caller| administered(caller, id))?;
    let change = UserChange {
        username: params.text("username")?.map(|name| username(&name)).transpose()?,
        name: params.text("name")?,
        email: params.text("email")?,
        admin: params.flag("admin")?,
        password: hashed(&caller, params.secret("password")?).await?,
    };
    let update = move |caller: &Authority<'_>, id| edit::update(caller.directory, id, change);
    let user = caller.change("user changed", user, update).await?;
    Ok(HttpResponse::Ok().json(full(&user, &caller.base_url)))
}

/// Handles `POST /users/:id/block`.
pub(super) async fn block(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    user_changes::block(&caller, id(&path)?).await?;
    Ok(HttpResponse::Created().json(true))
}

/// Handles `POST /users/:id/unblock`.
pub(super) async fn unblock(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    user_changes::unblock(&caller, id(&path)?).await?;
    Ok(HttpResponse::Created().json(true))
}

/// Handles `DELETE /users/:id`.
pub(super) async fn delete(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    user_changes::delete(&caller, id(&path)?, params.is_true("hard_delete")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the user with the number in a path.
///
/// # Errors
/// The number is malformed, or there is no such user.
pub(super) fn find(caller: &Authority<'_>, id: &str) -> Result<Arc<User>, ApiError> {
    user_changes::find(caller, self::id(id)?)
}

fn id(text: &str) -> Result<UserId, ApiError> {
    number("id", text).map(UserId)
}

/// Returns the fields of a user that every caller may see.
pub(super) fn basic(user: &User, base_url: &str) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": if user.blocked { "blocked" } else { "active" },
        "locked": false,
        "avatar_url": null,
        "web_url": format!("{base_url}/-/users/{}", user.username),
    })
}

/// Returns all fields of a user, for administrators and the user.
pub(super) fn full(user: &User, base_url: &str) -> Value {
    let mut shown = basic(user, base_url);
    shown["email"] = json!(user.email);
    shown["is_admin"] = json!(user.admin);
    shown["bot"] = json!(user.bot_of.is_some());
    shown["created_at"] = json!(format!("{:.3}", user.created_at));
    shown
}

fn seen_by(caller: &Caller, user: &User) -> Value {
    let all = caller.user.admin || caller.user.id == user.id;
    if all { full(user, &caller.base_url) } else { basic(user, &caller.base_url) }
}

/// Returns the user with the number in a path, if the caller may delete that user.
///
/// # Errors
/// The caller is not an administrator, or is that user, or there is no such user.
pub(super) fn deletable(caller: &Authority<'_>, id: &str) -> Result<UserId, ApiError> {
    user_changes::deletable(caller, self::id(id)?)
}

fn username(text: &str) -> Result<Username, ApiError> {
    text.parse().map_err(|error| ApiError::Invalid { field: "username", reason: format!("{error}") })
}

/// The filters of a list of users.
struct Filter {
    search: String,
    search_email: bool,
    username: Option<String>,
    active: bool,
    blocked: bool,
    admins: bool,
    humans: bool,
}

impl Filter {
    fn read(params: &Params, admin: bool) -> Result<Self, ApiError> {
        Ok(Self {
            search: params.text("search")?.unwrap_or_default().to_lowercase(),
            search_email: admin,
            username: params.text("username")?,
            active: params.is_true("active")?,
            blocked: params.is_true("blocked")?,
            admins: admin && params.is_true("admins")?,
            humans: params.is_true("humans")? || params.is_true("without_project_bots")?,
        })
    }

    fn fits(&self, user: &User) -> bool {
        let found = |text: &str| text.to_lowercase().contains(&self.search);
        let named = |name: &String| user.username.as_str().eq_ignore_ascii_case(name);
        (found(&user.name) || found(user.username.as_str()) || self.search_email && found(&user.email))
            && self.username.as_ref().is_none_or(named)
            && !(self.active && user.blocked)
            && (!self.blocked || user.blocked)
            && (!self.admins || user.admin)
            && !(self.humans && user.bot_of.is_some())
    }
}
