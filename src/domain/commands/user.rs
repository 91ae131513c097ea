//! Commands that create, change, block and delete users. They see hashes of passwords, never a password.

use jiff::Timestamp;

use super::{ChangeBuilder, CommandError, CommandResult, Resource, check_name, member};
use crate::domain::access::AccessLevel;
use crate::domain::directory::{Directory, Record};
use crate::domain::email::Email;
use crate::domain::id::{GroupId, UserId};
use crate::domain::user::{Password, User, Username};

/// The input for a new user.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The login name.
    pub username: Username,
    /// The display name.
    pub name: String,
    /// The email address, which no other user has; `None`: none.
    pub email: Option<Email>,
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
    /// The email address, which no other user has; `Some(None)`: none.
    pub email: Option<Option<Email>>,
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
    CommandError::of_fields([
        check_username(directory, None, &new.username),
        check_name(&new.name),
        check_email(directory, None, new.email.as_ref()),
    ])?;
    let mut builder = ChangeBuilder::of(directory);
    let user = User {
        email: new.email.map(String::from).unwrap_or_default(),
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
    let username = change.username.as_ref().map_or(Ok(()), |name| check_username(directory, Some(id), name));
    let email = change.email.as_ref().map_or(Ok(()), |email| check_email(directory, Some(id), email.as_ref()));
    CommandError::of_fields([username, check_name(change.name.as_ref().unwrap_or(&user.name)), email])?;
    if change.admin == Some(false) {
        check_other_administrator(directory, &user)?;
    }
    user.username = change.username.unwrap_or(user.username);
    user.name = change.name.unwrap_or(user.name);
    user.email = change.email.map_or(user.email, |email| email.map(String::from).unwrap_or_default());
    user.admin = change.admin.unwrap_or(user.admin);
    user.password = change.password.or(user.password);
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
        return Err(CommandError::Conflict {
            field: None,
            text: "User cannot be removed while is the sole-owner of a group",
        });
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

fn check_username(directory: &Directory, own: Option<UserId>, name: &Username) -> Result<(), CommandError> {
    match directory.user_named(name.as_str()) {
        Some(user) if Some(user.id) != own => {
            Err(CommandError::Conflict { field: Some("username"), text: "Username has already been taken" })
        }
        _ => Ok(()),
    }
}

fn check_email(directory: &Directory, own: Option<UserId>, email: Option<&Email>) -> Result<(), CommandError> {
    let same_email = |user: &User| email.is_some_and(|email| user.email.eq_ignore_ascii_case(email.as_str()));
    if directory.users().any(|user| Some(user.id) != own && same_email(user)) {
        return Err(CommandError::Conflict { field: Some("email"), text: "Email has already been taken" });
    }
    Ok(())
}

/// Checks that this user is not the only administrator who is not blocked.
fn check_other_administrator(directory: &Directory, user: &User) -> Result<(), CommandError> {
    let other = |candidate: &User| candidate.admin && !candidate.blocked && candidate.id != user.id;
    if user.admin && !directory.users().any(|candidate| other(candidate)) {
        return Err(CommandError::Refused("The last administrator cannot be demoted, blocked or deleted"));
    }
    Ok(())
}
