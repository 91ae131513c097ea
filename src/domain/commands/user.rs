//! Commands that create, change, block and delete users. They see hashes of passwords, never a password.

use jiff::Timestamp;

use super::{ChangeBuilder, CommandError, CommandResult, Resource, check_line, check_name, member};
use crate::domain::access::AccessLevel;
use crate::domain::directory::{Directory, Record};
use crate::domain::id::{GroupId, UserId};
use crate::domain::limits::MAX_NAME_CHARS;
use crate::domain::user::{Password, User, Username};

/// The input for a new user.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The login name.
    pub username: Username,
    /// The display name.
    pub name: String,
    /// The email address: empty, or one that no other user has.
    pub email: String,
    /// True for an administrator.
    pub admin: bool,
    /// The password; `None`: the user can authenticate with tokens only.
    pub password: Option<Password>,
}

/// The changes to a user; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The login name.
    pub username: Option<Username>,
    /// The display name.
    pub name: Option<String>,
    /// The email address: empty, or one that no other user has.
    pub email: Option<String>,
    /// True for an administrator.
    pub admin: Option<bool>,
    /// The new password, with a new credential id: JWTs issued for the old password stop working.
    pub password: Option<Password>,
}

/// Creates a user.
///
/// # Errors
/// Fails if the user name or email address is taken, or a field is not valid.
pub fn create(directory: &Directory, new: NewUser, now: Timestamp) -> CommandResult<User> {
    check_name(&new.name)?;
    check_line("email", &new.email, MAX_NAME_CHARS)?;
    check_unique(directory, None, Some(&new.username), Some(&new.email))?;
    let mut builder = ChangeBuilder::of(directory);
    let user = User {
        email: new.email,
        admin: new.admin,
        password: new.password,
        ..User::new(builder.next_user(), new.username, new.name, now)
    };
    builder.put(Record::User(user.clone()));
    Ok(builder.finish(user))
}

/// Changes a user.
///
/// # Errors
/// Fails if the user does not exist, is a bot, or is the last administrator and would no longer be one; if the user
/// name or email address is taken; or if a field is not valid.
pub fn update(directory: &Directory, id: UserId, change: UserChange) -> CommandResult<User> {
    let mut user = find(directory, id)?;
    if user.bot_of.is_some() {
        return Err(CommandError::Refused(
            "The bot of a group access token cannot be changed. Rotate or revoke its token instead",
        ));
    }
    check_unique(directory, Some(id), change.username.as_ref(), change.email.as_deref())?;
    if change.admin == Some(false) {
        check_other_administrator(directory, &user)?;
    }
    user.username = change.username.unwrap_or(user.username);
    user.name = change.name.unwrap_or(user.name);
    user.email = change.email.unwrap_or(user.email);
    user.admin = change.admin.unwrap_or(user.admin);
    user.password = change.password.or(user.password);
    check_name(&user.name)?;
    check_line("email", &user.email, MAX_NAME_CHARS)?;
    let mut builder = ChangeBuilder::of(directory);
    builder.put(Record::User(user.clone()));
    Ok(builder.finish(user))
}

/// Blocks a user and so all tokens of the user.
///
/// # Errors
/// Fails if the user does not exist or is the last administrator.
pub fn block(directory: &Directory, id: UserId, now: Timestamp) -> CommandResult<()> {
    set_blocked(directory, id, true, now)
}

/// Unblocks a user.
///
/// # Errors
/// Fails if the user does not exist.
pub fn unblock(directory: &Directory, id: UserId, now: Timestamp) -> CommandResult<()> {
    set_blocked(directory, id, false, now)
}

/// Deletes a user with all memberships; the tokens leave tombstones.
///
/// # Errors
/// Fails if the user does not exist or is the last administrator, and, without `force`, if the user is the only owner
/// of a group.
pub fn delete(directory: &Directory, id: UserId, force: bool, now: Timestamp) -> CommandResult<()> {
    let user = find(directory, id)?;
    check_other_administrator(directory, &user)?;
    if user.bot_of.is_none() && !force && owned_by_nobody_else(directory, id, now).next().is_some() {
        return Err(CommandError::Conflict("User cannot be removed while is the sole-owner of a group".to_owned()));
    }
    let mut builder = ChangeBuilder::of(directory);
    builder.delete_user(directory, id, now);
    Ok(builder.finish(()))
}

/// Returns the groups that have no other owner than this user.
pub fn owned_by_nobody_else(directory: &Directory, id: UserId, now: Timestamp) -> impl Iterator<Item = GroupId> {
    let owns = directory.memberships().filter(move |own| own.user == id && own.level == AccessLevel::Owner);
    owns.filter(move |own| member::is_last_owner(directory, own, now)).map(|own| own.group)
}

fn set_blocked(directory: &Directory, id: UserId, blocked: bool, now: Timestamp) -> CommandResult<()> {
    let mut user = find(directory, id)?;
    if blocked {
        check_other_administrator(directory, &user)?;
    }
    if user.blocked != blocked {
        (user.blocked, user.block_changed_at) = (blocked, Some(now));
    }
    let mut builder = ChangeBuilder::of(directory);
    builder.put(Record::User(user));
    Ok(builder.finish(()))
}

fn find(directory: &Directory, id: UserId) -> Result<User, CommandError> {
    directory.user(id).map(|user| User::clone(user)).ok_or(CommandError::Missing(Resource::User))
}

fn check_unique(
    directory: &Directory,
    own: Option<UserId>,
    username: Option<&Username>,
    email: Option<&str>,
) -> Result<(), CommandError> {
    let email = email.filter(|email| !email.is_empty());
    let same_email = |user: &User| email.is_some_and(|email| user.email.eq_ignore_ascii_case(email));
    if directory.users().any(|user| Some(user.id) != own && same_email(user)) {
        return Err(CommandError::Conflict("Email has already been taken".to_owned()));
    }
    match username.and_then(|name| directory.user_named(name.as_str())) {
        Some(user) if Some(user.id) != own => Err(CommandError::Conflict("Username has already been taken".to_owned())),
        _ => Ok(()),
    }
}

/// Checks that this user is not the only administrator who is not blocked.
fn check_other_administrator(directory: &Directory, user: &User) -> Result<(), CommandError> {
    let other = |candidate: &User| candidate.admin && !candidate.blocked && candidate.id != user.id;
    if user.admin && !directory.users().any(|candidate| other(candidate)) {
        return Err(CommandError::Refused("The last administrator cannot be demoted, blocked or deleted"));
    }
    Ok(())
}
