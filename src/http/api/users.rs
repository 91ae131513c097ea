//! `/users` and `/user` (<https://docs.gitlab.com/api/users/>). All callers see the users; only administrators see
//! all fields and change them.

use std::sync::Arc;

use actix_web::web;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::faults::Faults;
use super::pagination::Page;
use super::params::{Params, number};
use super::response::{Body, Created, Found, ListPage, NoContent, Time};
use super::user_changes::{self, administered, hashed};
use crate::domain::commands::user::{self as edit, NewUser, UserChange};
use crate::domain::email::{Email, EmailError};
use crate::domain::id::UserId;
use crate::domain::user::{User, Username};

/// The fields of a user that every user sees.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserBasic")]
pub(super) struct BasicUserView {
    id: u64,
    username: String,
    name: String,
    state: UserState,
    /// Always `false`: too many failed logins lock no user.
    locked: bool,
    avatar_url: (),
    web_url: String,
}

/// A user, with the fields that only administrators and the user see.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserView {
    #[serde(flatten)]
    basic: BasicUserView,
    /// The email address that an administrator entered; empty if there is none.
    email: String,
    is_admin: bool,
    /// True if the user acts for a group access token.
    bot: bool,
    created_at: Time,
}

/// A user with the fields that the caller sees.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum SeenUserView {
    All(UserView),
    Basic(BasicUserView),
}

/// The state of a user: of one who is blocked, neither the password nor any token is accepted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum UserState {
    Active,
    Blocked,
}

/// Handles `POST /users`.
pub(super) async fn create(caller: Caller, params: Params) -> Result<Created<UserView>, ApiError> {
    caller.authority().administrator()?;
    params.require(&["name", "username"])?;
    let (password, none) = (params.secret("password")?, params.is_true("force_random_password")?);
    if password.is_none() && !none {
        let text = "password, force_random_password are missing, at least one parameter must be provided";
        return Err(ApiError::Parameter(text.to_owned()));
    }
    let mut faults = Faults::default();
    let name = faults.take(params.required_text("username").and_then(|name| username(&name)));
    let full_name = faults.take(params.required_text("name"));
    let (email, admin) = (faults.take(email(&params)), faults.take(params.is_true("admin")));
    let password = faults.take(hashed(&caller, password.filter(|_| !none)).await);
    let (Some(username), Some(name), Some(email), Some(admin), Some(password)) =
        (name, full_name, email, admin, password)
    else {
        return Err(faults.into());
    };
    let new = NewUser { username, name, email: email.flatten(), admin, password };
    let user = user_changes::create(&caller, new).await?;
    Ok(Body(full(&user, &caller.base_url)))
}

/// Handles `GET /users`.
pub(super) async fn list(caller: Caller, page: Page, params: Params) -> Result<ListPage<SeenUserView>, ApiError> {
    let filter = Filter::read(&params, caller.user.admin)?;
    let mut users: Vec<Arc<User>> = caller.directory.users().filter(|user| filter.fits(user)).cloned().collect();
    match params.text("order_by")?.as_deref() {
        Some("name") => users.sort_by_key(|user| user.name.to_lowercase()),
        Some("username") => users.sort_by_key(|user| user.username.folded()),
        None | Some("" | "id") => {}
        Some(_) => return Err(ApiError::invalid_value("order_by")),
    }
    if params.is_descending(true)? {
        users.reverse();
    }
    Ok(page.of(&caller.base_url, &users, |user| seen_by(&caller, user)))
}

/// Handles `GET /users/:id`.
pub(super) async fn show(caller: Caller, path: web::Path<String>) -> Result<Found<SeenUserView>, ApiError> {
    let user = find(&caller.authority(), &path)?;
    Ok(Body(seen_by(&caller, &user)))
}

/// Handles `GET /user`.
pub(super) async fn current(caller: Caller) -> Result<Found<UserView>, ApiError> {
    Ok(Body(full(&caller.user, &caller.base_url)))
}

/// Handles `PUT /users/:id`.
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    params: Params,
) -> Result<Found<UserView>, ApiError> {
    let id = id(&path)?;
    let user = caller.may(move |caller| administered(caller, id))?;
    let mut faults = Faults::default();
    let name = params.text("username").and_then(|name| name.map(|name| username(&name)).transpose());
    let change = UserChange {
        username: faults.take(name).flatten(),
        name: faults.take(params.text("name")).flatten(),
        email: faults.take(email(&params)).flatten(),
        admin: faults.take(params.flag("admin")).flatten(),
        password: faults.take(hashed(&caller, params.secret("password")?).await).flatten(),
    };
    faults.none()?;
    let update = move |caller: &Authority<'_>, id| edit::update(caller.directory, id, change);
    let user = caller.change("user changed", user, update).await?;
    Ok(Body(full(&user, &caller.base_url)))
}

/// Handles `POST /users/:id/block`.
pub(super) async fn block(caller: Caller, path: web::Path<String>) -> Result<Created<bool>, ApiError> {
    user_changes::block(&caller, id(&path)?).await?;
    Ok(Body(true))
}

/// Handles `POST /users/:id/unblock`.
pub(super) async fn unblock(caller: Caller, path: web::Path<String>) -> Result<Created<bool>, ApiError> {
    user_changes::unblock(&caller, id(&path)?).await?;
    Ok(Body(true))
}

/// Handles `DELETE /users/:id`.
pub(super) async fn delete(caller: Caller, path: web::Path<String>, params: Params) -> Result<NoContent, ApiError> {
    user_changes::delete(&caller, id(&path)?, params.is_true("hard_delete")?).await?;
    Ok(NoContent)
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
pub(super) fn basic(user: &User, base_url: &str) -> BasicUserView {
    BasicUserView {
        id: user.id.0,
        username: user.username.to_string(),
        name: user.name.clone(),
        state: if user.blocked { UserState::Blocked } else { UserState::Active },
        locked: false,
        avatar_url: (),
        web_url: format!("{base_url}/-/users/{}", user.username),
    }
}

/// Returns all fields of a user, for administrators and the user.
pub(super) fn full(user: &User, base_url: &str) -> UserView {
    UserView {
        basic: basic(user, base_url),
        email: user.email.clone(),
        is_admin: user.admin,
        bot: user.bot_of.is_some(),
        created_at: Time(user.created_at),
    }
}

fn seen_by(caller: &Caller, user: &User) -> SeenUserView {
    let all = caller.user.admin || caller.user.id == user.id;
    if all {
        SeenUserView::All(full(user, &caller.base_url))
    } else {
        SeenUserView::Basic(basic(user, &caller.base_url))
    }
}

/// Returns the user with the number in a path, if the caller may delete that user.
///
/// # Errors
/// The caller is not an administrator, or is that user, or there is no such user.
pub(super) fn deletable(caller: &Authority<'_>, id: &str) -> Result<UserId, ApiError> {
    user_changes::deletable(caller, self::id(id)?)
}

/// Returns the email address of a request; `Some(None)` for an empty one, which means none.
fn email(params: &Params) -> Result<Option<Option<Email>>, ApiError> {
    let Some(text) = params.text("email")? else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(None));
    }
    let invalid = |error: EmailError| ApiError::Invalid { field: "email", reason: error.to_string() };
    text.parse().map(|email| Some(Some(email))).map_err(invalid)
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
