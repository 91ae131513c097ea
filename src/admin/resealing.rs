//! The passwords of groups' accounts where identities get other keys.

use crate::auth::jwt::{KeyError, KeySet};
use crate::auth::sealing::SealingKeys;
use crate::domain::commands::upstream_account;
use crate::domain::directory::Directory;

/// Encrypts the passwords of groups' accounts with the first of the keys `to`. Those `from` before, and the others
/// `to`, decrypt them. Returns the accounts whose passwords none of them decrypts, each with its group and upstream.
///
/// # Errors
/// The keys cannot be used.
pub(super) fn reseal(directory: &mut Directory, from: Option<KeySet>, to: KeySet) -> Result<Vec<String>, KeyError> {
    let keys = SealingKeys::new(&match from {
        Some(from) => to.and(from),
        None => to,
    })?;
    let sealed = |group, upstream: &_, account: &crate::domain::upstream_account::UpstreamAccount| {
        let password = keys.open(&account.secret, account.binding(group, upstream)).ok()?;
        keys.seal(&password, account.binding(group, upstream)).ok()
    };
    let (writes, _) = upstream_account::reseal(directory, keys.sealing_key(), sealed);
    directory.apply(&writes);
    Ok(unreadable(directory, Some(&keys)))
}

/// Returns the accounts of groups whose passwords these keys do not decrypt, each with its group and upstream.
pub(super) fn unreadable(directory: &Directory, keys: Option<&SealingKeys>) -> Vec<String> {
    let mut found = Vec::new();
    for group in directory.choosing_groups() {
        for (upstream, account) in &group.upstream_accounts {
            let opened = keys.map(|keys| keys.open(&account.secret, account.binding(group.id, upstream)));
            if opened.is_none_or(|opened| opened.is_err()) {
                found.push(format!("the account '{}' of the group {} at {upstream}", account.username, group.path));
            }
        }
    }
    found
}
