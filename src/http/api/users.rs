//! `/users` and `/user` (<https://docs.gitlab.com/api/users/>). All callers see the users; only administrators see
//! all fields and change them.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::pagination::Page;
use super::params::{Params, number};
use crate::auth::random;
use crate::auth::secret::{Form, form};
use crate::domain::commands::user::{self as edit, NewUser, UserChange};
use crate::domain::id::UserId;
use crate::domain::user::{Password, User, Username};

/// Minimum length of a password. GitLab has the same limits.
const MIN_PASSWORD_CHARS: usize = 8;
const MAX_PASSWORD_CHARS: usize = 128;

/// Handles `POST /users`.
pub(super) async fn create(caller: Caller, params: Params) -> Result<HttpResponse, ApiError> {
    let administrator = caller.may(|caller| caller.administrator())?;
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
    let create = move |caller: &Authority<'_>, ()| edit::create(caller.directory, new, caller.now);
    let user = caller.change("user created", administrator, create).await?;
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
    let user = caller.may(move |caller| administered(caller, &path))?;
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
    let refusal = "The API initiating user cannot be blocked by the API";
    let user = caller.may(move |caller| other(caller, &path, refusal))?;
    let blocked = user.granted;
    caller.change("user blocked", user, |caller, id| edit::block(caller.directory, id, caller.now)).await?;
    // Also if the user is unblocked before the next request of a session.
    let password = caller.directory.user(blocked).and_then(|user| user.password.as_ref());
    password.into_iter().for_each(|password| caller.state.sessions.end_all_of(password.credential));
    Ok(HttpResponse::Created().json(true))
}

/// Handles `POST /users/:id/unblock`.
pub(super) async fn unblock(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let user = caller.may(move |caller| administered(caller, &path))?;
    caller.change("user unblocked", user, |caller, id| edit::unblock(caller.directory, id, caller.now)).await?;
    Ok(HttpResponse::Created().json(true))
}

/// Handles `DELETE /users/:id`.
pub(super) async fn delete(caller: Caller, path: web::Path<String>, params: Params) -> Result<HttpResponse, ApiError> {
    let user = caller.may(move |caller| deletable(caller, &path))?;
    let force = params.is_true("hard_delete")?;
    let delete = move |caller: &Authority<'_>, id| edit::delete(caller.directory, id, force, caller.now);
    caller.change("user deleted", user, delete).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the user with the number in a path.
///
/// # Errors
/// The number is malformed, or there is no such user.
pub(super) fn find(caller: &Authority<'_>, id: &str) -> Result<Arc<User>, ApiError> {
    let id = UserId(number("id", id)?);
    caller.directory.user(id).cloned().ok_or(ApiError::NotFound("User"))
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
        "web_url": format!("{base_url}/{}", user.username),
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

/// Returns the user with the number in a path, if the caller is an administrator.
fn administered(caller: &Authority<'_>, id: &str) -> Result<UserId, ApiError> {
    caller.administrator()?;
    find(caller, id).map(|user| user.id)
}

/// Returns the user with the number in a path, if the caller may delete that user.
///
/// # Errors
/// The caller is not an administrator, or is that user, or there is no such user.
pub(super) fn deletable(caller: &Authority<'_>, id: &str) -> Result<UserId, ApiError> {
    other(caller, id, "The API initiating user cannot be deleted by the API")
}

/// Returns the user with the number in a path, if the caller is another administrator. Fails with `refusal` if it
/// is the caller: some changes are not allowed to oneself.
fn other(caller: &Authority<'_>, id: &str, refusal: &'static str) -> Result<UserId, ApiError> {
    let user = administered(caller, id)?;
    if user == caller.user.id { Err(ApiError::Refused(refusal)) } else { Ok(user) }
}

fn username(text: &str) -> Result<Username, ApiError> {
    text.parse().map_err(|error| ApiError::Invalid { field: "username", reason: format!("{error}") })
}

/// Hashes a new password after checking its length and form. Waits until the password verifier has a free thread.
///
/// # Errors
/// The password is too short, too long or has the form of a token, or too many passwords are being hashed.
pub(super) async fn hashed(caller: &Caller, password: Option<SecretString>) -> Result<Option<Password>, ApiError> {
    let Some(password) = password else { return Ok(None) };
    let reason = match password.expose_secret().chars().count() {
        0..MIN_PASSWORD_CHARS => format!("is too short (minimum is {MIN_PASSWORD_CHARS} characters)"),
        MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS if form(password.expose_secret()) != Form::Other => {
            "has the form of a token: a login would never try it as a password".to_owned()
        }
        MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS => {
            let hash = caller.state.tokens.hash_password(password).await.map_err(|_| ApiError::Busy)?;
            return Ok(Some(Password { credential: random::credential_id(), hash, set_at: Some(Timestamp::now()) }));
        }
        _ => format!("is too long (maximum is {MAX_PASSWORD_CHARS} characters)"),
    };
    Err(ApiError::Invalid { field: "password", reason })
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
