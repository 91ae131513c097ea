//! Commands that set and remove the account of a group at an upstream. The secret is sealed by the caller.

use super::group::find;
use super::{ChangeBuilder, CommandError, CommandResult, check_line};
use crate::domain::directory::{Directory, Record, Write};
use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream_account::{MAX_PASSWORD_CHARS, MAX_USERNAME_CHARS, SealedSecret, UpstreamAccount};

/// The names of the fields in the REST API, which are those of GitLab.
const USERNAME_FIELD: &str = "identity";
const PASSWORD_FIELD: &str = "secret";

/// Checks the user name and the password of an account.
///
/// # Errors
/// Fails if one is empty, is too long or has control characters, or if the user name has a colon, which HTTP does not
/// allow (RFC 7617, section 2).
pub fn check(username: &str, password: &str) -> Result<(), CommandError> {
    for (field, text, max_chars) in
        [(USERNAME_FIELD, username, MAX_USERNAME_CHARS), (PASSWORD_FIELD, password, MAX_PASSWORD_CHARS)]
    {
        if text.is_empty() {
            return Err(CommandError::invalid(field, "can't be blank"));
        }
        check_line(field, text, max_chars)?;
    }
    match username.contains(':') {
        true => Err(CommandError::invalid(USERNAME_FIELD, "can't contain ':'")),
        false => Ok(()),
    }
}

/// Gives a group an account at an upstream, in place of the one that it may have there.
///
/// # Errors
/// Fails if the group does not exist.
pub fn set(
    directory: &Directory,
    group: GroupId,
    upstream: UpstreamName,
    account: UpstreamAccount,
) -> CommandResult<Group> {
    let mut changed = Group::clone(find(directory, group)?);
    changed.upstream_accounts.insert(upstream, account);
    Ok(put(directory, changed))
}

/// Takes the account at an upstream from a group. Returns the group, and whether it had one.
///
/// # Errors
/// Fails if the group does not exist.
pub fn remove(directory: &Directory, group: GroupId, upstream: &UpstreamName) -> CommandResult<bool> {
    let mut changed = Group::clone(find(directory, group)?);
    if changed.upstream_accounts.remove(upstream).is_none() {
        return Ok((Vec::new(), false));
    }
    let (writes, _) = put(directory, changed);
    Ok((writes, true))
}

/// Seals the secrets of all accounts again that were not sealed with this key. `reseal` returns `None` for one that
/// cannot be opened, which is kept as it is. Returns their number.
pub fn reseal(
    directory: &Directory,
    key: &str,
    reseal: impl Fn(GroupId, &UpstreamName, &UpstreamAccount) -> Option<SealedSecret>,
) -> (Vec<Write>, usize) {
    let (mut builder, mut count) = (ChangeBuilder::of(directory), 0);
    for group in directory.choosing_groups() {
        let mut changed = Group::clone(group);
        for (upstream, account) in &mut changed.upstream_accounts {
            let sealed = if account.secret.key == key { None } else { reseal(group.id, upstream, account) };
            if let Some(secret) = sealed {
                account.secret = secret;
                count += 1;
            }
        }
        if changed != **group {
            builder.put(Record::Group(changed));
        }
    }
    builder.finish(count)
}

fn put(directory: &Directory, group: Group) -> (Vec<Write>, Group) {
    let mut builder = ChangeBuilder::of(directory);
    builder.put(Record::Group(group.clone()));
    builder.finish(group)
}
