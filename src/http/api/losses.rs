//! The objects that a change takes away besides the one that it is about, and the confirmation of exactly these.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Authority;
use crate::auth::sha256;
use crate::domain::commands::loss::Loss;
use crate::domain::commands::{CommandError, CommandResult, rotation, token, user};
use crate::domain::directory::Write;
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::token::{Token, TokenOwner};

/// Maximum number of names in a list. Its total counts all of them.
const MAX_NAMES: usize = 20;

/// The objects that a change takes away besides the one that it is about, by name.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct Lost {
    pub(in crate::http) groups: Names,
    pub(in crate::http) users: Names,
    pub(in crate::http) members: Names,
    pub(in crate::http) tokens: Names,
    /// `true` if the token of the caller is among all of them, or the caller or a membership of the caller.
    own: bool,
    /// A text that stands for exactly these objects; empty if there are none.
    #[serde(skip)]
    pub(in crate::http) mark: String,
}

/// The names of objects of one kind.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct Names {
    /// The number of all of them.
    pub(in crate::http) total: usize,
    /// The first of them, at most 20.
    pub(in crate::http) names: Vec<String>,
}

/// Returns what goes with a user who is deleted; with `force` also the only owner of a group.
///
/// # Errors
/// The deletion itself would be refused.
pub(in crate::http) fn of_deletion(caller: &Authority<'_>, id: UserId, force: bool) -> Result<Lost, CommandError> {
    let (writes, ()) = user::delete(caller.directory, id, force, caller.now)?;
    Ok(Lost::of(caller, &with_user(caller, &writes, id)))
}

/// Returns what goes with a token that is revoked.
///
/// # Errors
/// The revocation itself would be refused.
pub(in crate::http) fn of_revoked(caller: &Authority<'_>, id: TokenId) -> Result<Lost, CommandError> {
    let (writes, ()) = token::revoke(caller.directory, id, caller.now)?;
    Ok(Lost::of(caller, &with_token(caller, &writes, id)))
}

/// Returns what ends earlier with a token that gets this end.
///
/// # Errors
/// The change itself would be refused.
pub(in crate::http) fn of_new_end(
    caller: &Authority<'_>,
    id: TokenId,
    end: Option<Timestamp>,
) -> Result<Lost, CommandError> {
    let (writes, _) = rotation::extend(caller.directory, id, end, &caller.terms())?;
    Ok(Lost::of(caller, &Loss::brought_forward(caller.directory, &writes, id, caller.now)))
}

/// Returns what these writes take away with a user.
pub(super) fn with_user(caller: &Authority<'_>, writes: &[Write], id: UserId) -> Loss {
    let mut loss = Loss::of(caller.directory, writes, caller.now);
    loss.users.remove(&id);
    loss
}

/// Returns what these writes take away with a group.
pub(super) fn with_group(caller: &Authority<'_>, writes: &[Write], id: GroupId) -> Loss {
    let mut loss = Loss::of(caller.directory, writes, caller.now);
    loss.groups.remove(&id);
    loss
}

/// Returns what these writes take away with a token.
pub(in crate::http) fn with_token(caller: &Authority<'_>, writes: &[Write], id: TokenId) -> Loss {
    let mut loss = Loss::of(caller.directory, writes, caller.now);
    loss.tokens.remove(&id);
    loss
}

/// Passes on a change, if what it takes away is exactly what was confirmed. `mark` is the mark of what was shown.
///
/// # Errors
/// The change takes away something else, or was refused.
pub(in crate::http) fn confirmed<T>(
    mark: &str,
    change: CommandResult<T>,
    loss: impl FnOnce(&[Write]) -> Loss,
) -> CommandResult<T> {
    let (writes, value) = change?;
    if mark_of(&loss(&writes)) == mark {
        Ok((writes, value))
    } else {
        Err(CommandError::Conflict { field: None, text: UNCONFIRMED })
    }
}

const UNCONFIRMED: &str = "What goes with it was not confirmed, or has changed since it was shown";

/// Number of characters of a mark.
const MARK_CHARS: usize = 32;

fn mark_of(loss: &Loss) -> String {
    let digest = || sha256::digest(loss.numbers().as_bytes()).hex()[..MARK_CHARS].to_owned();
    if loss.is_empty() { String::new() } else { digest() }
}

impl Lost {
    /// Returns the names of what is in a loss, for this caller.
    pub(super) fn of(caller: &Authority<'_>, loss: &Loss) -> Self {
        let directory = caller.directory;
        let username = |id| directory.user(id).map_or_else(|| "?".to_owned(), |user| user.username.to_string());
        let path = |id| directory.group(id).map_or_else(|| "?".to_owned(), |group| group.path.to_string());
        let member = |(group, user): &(GroupId, UserId)| format!("{} in {}", username(*user), path(*group));
        Self {
            groups: Names::of(loss.groups.values().map(|group| group.path.to_string())),
            users: Names::of(loss.users.values().map(|user| user.username.to_string())),
            members: Names::of(loss.members.keys().map(member)),
            tokens: Names::of(loss.tokens.values().map(|token| named(token, username, path))),
            own: is_own(caller, loss),
            mark: mark_of(loss),
        }
    }

    /// Returns true if nothing is taken away.
    pub(in crate::http) fn is_empty(&self) -> bool {
        self.mark.is_empty()
    }
}

fn is_own(caller: &Authority<'_>, loss: &Loss) -> bool {
    let user = caller.user.id;
    let is_token = caller.token().is_ok_and(|token| loss.tokens.contains_key(&token.id));
    is_token || loss.users.contains_key(&user) || loss.members.keys().any(|(_, member)| *member == user)
}

impl Names {
    fn of(names: impl Iterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.collect();
        let total = names.len();
        names.truncate(MAX_NAMES);
        Self { total, names }
    }
}

fn named(token: &Arc<Token>, username: impl Fn(UserId) -> String, path: impl Fn(GroupId) -> String) -> String {
    match &token.owner {
        TokenOwner::Personal { user } => format!("'{}' of {}", token.name, username(*user)),
        TokenOwner::Group { group, .. } | TokenOwner::Deploy { group, .. } => {
            format!("'{}' in {}", token.name, path(*group))
        }
    }
}
