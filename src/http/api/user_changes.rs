//! Changes of users, for administrators: what the API and the console carry out. The caller's right is decided again at
//! the change.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::caller::{Authority, Caller};
use super::error::ApiError;
use super::losses;
use crate::actors::sessions::SessionError;
use crate::auth::random;
use crate::auth::secret::{Form, form};
use crate::domain::commands::user::{self as edit, NewUser};
use crate::domain::id::UserId;
use crate::domain::user::{Password, User};

/// Name of a deletion in the log and in audit events.
const DELETED: &str = "user deleted";

/// Minimum length of a password. GitLab has the same limits.
const MIN_PASSWORD_CHARS: usize = 8;
const MAX_PASSWORD_CHARS: usize = 128;

/// Creates a user.
///
/// # Errors
/// The caller is no administrator, a field is not valid, or the user name or the email address is taken.
pub(in crate::http) async fn create(caller: &Caller, new: NewUser) -> Result<User, ApiError> {
    let administrator = caller.may(|caller| caller.administrator())?;
    let create = move |caller: &Authority<'_>, ()| edit::create(caller.directory, new, caller.now);
    caller.change("user created", administrator, create).await
}

/// Blocks a user: sessions and all tokens of the user end.
///
/// # Errors
/// The caller is no administrator, or is that user; there is no such user, or it is the last administrator. Or the user
/// is blocked, and the sessions could not be ended.
pub(in crate::http) async fn block(caller: &Caller, id: UserId) -> Result<(), ApiError> {
    let refusal = "The API initiating user cannot be blocked by the API";
    let user = caller.may(move |caller| other(caller, id, refusal))?;
    caller.change("user blocked", user, |caller, id| edit::block(caller.directory, id, caller.now)).await?;
    // Also if the user is unblocked before the next request of a session.
    let password = caller.directory.user(id).and_then(|user| user.password.as_ref());
    let Some(password) = password else { return Ok(()) };
    let ended = caller.state.sessions.end_all_of(password.credential).await;
    ended.map_err(|SessionError::Unavailable| ApiError::SessionsLeft)
}

/// Unblocks a user.
///
/// # Errors
/// The caller is no administrator, or there is no such user.
pub(in crate::http) async fn unblock(caller: &Caller, id: UserId) -> Result<(), ApiError> {
    let user = caller.may(move |caller| administered(caller, id))?;
    caller.change("user unblocked", user, |caller, id| edit::unblock(caller.directory, id, caller.now)).await
}

/// Deletes a user; with `force` also the only owner of a group.
///
/// # Errors
/// The caller is no administrator, or is that user; there is no such user; it is the last administrator or, without
/// `force`, the only owner of a group.
pub(in crate::http) async fn delete(caller: &Caller, id: UserId, force: bool) -> Result<(), ApiError> {
    let user = caller.may(move |caller| deletable(caller, id))?;
    let delete = move |caller: &Authority<'_>, id| edit::delete(caller.directory, id, force, caller.now);
    caller.change(DELETED, user, delete).await
}

/// Deletes a user who is not the only owner of a group, if what goes with the user was confirmed: `mark` is that of
/// [`losses::of_deletion`].
///
/// # Errors
/// As for [`delete`], and if something else would go.
pub(in crate::http) async fn delete_confirmed(caller: &Caller, id: UserId, mark: String) -> Result<(), ApiError> {
    let user = caller.may(move |caller| deletable(caller, id))?;
    let delete = move |caller: &Authority<'_>, id| {
        let change = edit::delete(caller.directory, id, false, caller.now);
        losses::confirmed(&mark, change, |writes| losses::with_user(caller, writes, id))
    };
    caller.change(DELETED, user, delete).await
}

/// Hashes a new password after checking its length and form. Waits until the password verifier has a free thread.
///
/// # Errors
/// The password is too short, too long or has the form of a token, or too many passwords are being hashed.
pub(in crate::http) async fn hashed(
    caller: &Caller,
    password: Option<SecretString>,
) -> Result<Option<Password>, ApiError> {
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

/// Returns this user, if the caller is an administrator.
pub(super) fn administered(caller: &Authority<'_>, id: UserId) -> Result<UserId, ApiError> {
    caller.administrator()?;
    find(caller, id).map(|user| user.id)
}

/// Returns this user, if the caller may delete that user.
///
/// # Errors
/// The caller is not an administrator, or is that user, or there is no such user.
pub(in crate::http) fn deletable(caller: &Authority<'_>, id: UserId) -> Result<UserId, ApiError> {
    other(caller, id, "The API initiating user cannot be deleted by the API")
}

/// Returns this user.
///
/// # Errors
/// There is no such user.
pub(super) fn find(caller: &Authority<'_>, id: UserId) -> Result<Arc<User>, ApiError> {
    caller.directory.user(id).cloned().ok_or(ApiError::NotFound("User"))
}

/// Returns this user, if the caller is another administrator. Fails with `refusal` if it is the caller: some changes
/// are not allowed to oneself.
fn other(caller: &Authority<'_>, id: UserId, refusal: &'static str) -> Result<UserId, ApiError> {
    let user = administered(caller, id)?;
    if user == caller.user.id { Err(ApiError::Refused(refusal)) } else { Ok(user) }
}
