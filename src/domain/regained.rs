//! Regained credentials: credentials of a backup that are no longer valid in the present identities, and that a
//! restore of the backup would make valid again.
//!
//! A newer backup may be restored over older data, as on a standby machine. What the backup alone has because it is
//! newer was not taken away and is not reported:
//!
//! - a user or token whose number the present identities never assigned ([`Service`](super::directory::Service)) or
//!   assigned to another user or token;
//! - a password, the unblocking of a user, another end of a token, or a rotated secret, if it was set later than what
//!   the present identities have.

use std::sync::Arc;

use jiff::Timestamp;

use super::directory::{Credential, Directory, Record, Write};
use super::token::Token;
use super::user::User;

/// A credential or user that a restore would make valid again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regained {
    /// The credential or the user, as the backup has it.
    pub subject: Subject,
    /// The reason why it is no longer valid.
    pub cause: Cause,
}

/// The credential or user that would be valid again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user, with the password and all tokens.
    User(Arc<User>),
    /// The password that the user had before the present one.
    Password(Arc<User>),
    /// A token.
    Token(Arc<Token>),
}

/// The reason why a credential or user is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The token was revoked at this time.
    Revoked(Timestamp),
    /// The user or token was deleted. The time is `None` for a user, and for a token without a tombstone, which is
    /// kept for a limited time.
    Deleted(Option<Timestamp>),
    /// The token now has an earlier end, which has passed.
    Expired(Timestamp),
    /// The user is blocked.
    Blocked,
    /// The user has another password, or none.
    Changed,
    /// The token has another secret.
    Rotated,
}

/// Returns true if both directories belong to one service at two times, that is if they have a user in common.
pub fn are_of_one_service(backup: &Directory, present: &Directory) -> bool {
    backup.users().any(|user| present.user(user.id).is_some_and(|same| same.created_at == user.created_at))
}

/// Returns the credentials and users that a restore would make valid again at this time, users first.
pub fn regained(backup: &Directory, present: &Directory, now: Timestamp) -> Vec<Regained> {
    let users = backup.users().filter(|user| !user.blocked).filter_map(|user| of_user(user, present));
    let is_blocked = |token: &Token| token.user().and_then(|id| backup.user(id)).is_some_and(|user| user.blocked);
    let tokens = backup.tokens().filter(|token| token.is_active(now) && !is_blocked(token));
    users.chain(tokens.filter_map(|token| of_token(token, present, now))).collect()
}

/// Changes the backup so that none of these becomes valid again: blocks the users, revokes the tokens, and sets the
/// present passwords.
pub fn revoke(backup: &mut Directory, present: &Directory, regained: &[Regained], now: Timestamp) {
    let writes: Vec<Write> = regained.iter().map(|regained| Write::Put(revoked(regained, present, now))).collect();
    backup.apply(&writes);
}

fn of_user(user: &Arc<User>, present: &Directory) -> Option<Regained> {
    // The bot of a deleted token was deleted with it, and the token is listed.
    let was_given = present.service().has_assigned_user(user.id) && user.bot_of.is_none();
    let (subject, cause) = match present.user(user.id) {
        None if was_given => (Subject::User(user.clone()), Cause::Deleted(None)),
        Some(other) if other.created_at != user.created_at => return None,
        Some(same) if same.blocked && same.block_changed_at >= user.block_changed_at => {
            (Subject::User(user.clone()), Cause::Blocked)
        }
        Some(same) if has_newer_password(same, user) => (Subject::Password(user.clone()), Cause::Changed),
        None | Some(_) => return None,
    };
    Some(Regained { subject, cause })
}

/// Returns true if the user has another password at present than in the backup, or none, and the backup's is not known
/// to be newer.
fn has_newer_password(present: &User, backup: &User) -> bool {
    let Some(password) = &backup.password else { return false };
    let own = present.password.as_ref();
    let set_at = own.and_then(|own| own.set_at);
    own.is_none_or(|own| own.credential != password.credential) && set_at >= password.set_at
}

fn of_token(token: &Arc<Token>, present: &Directory, now: Timestamp) -> Option<Regained> {
    let is_there = |id| present.token(id).is_some();
    let cause = match present.credential(token.credential) {
        Some(Credential::Token(same)) => match (same.revoked_at, same.expires_at) {
            (Some(at), _) => Cause::Revoked(at),
            (None, Some(end)) if end <= now && same.end_changed_at >= token.end_changed_at => Cause::Expired(end),
            (None, _) => return None,
        },
        // A rotation replaced the secret, which the backup would make valid again without an end.
        Some(Credential::OldSecret(_)) => Cause::Rotated,
        Some(Credential::Deleted(stone)) if stone.replaced_by.is_some_and(is_there) => Cause::Rotated,
        Some(Credential::Deleted(stone)) => Cause::Deleted(Some(stone.deleted_at)),
        Some(Credential::Password(_)) | None => of_unknown_secret(token, present)?,
    };
    Some(Regained { subject: Subject::Token(token.clone()), cause })
}

/// Returns the cause for a token with a secret of which the present identities have no trace; `None` if they never had
/// it.
fn of_unknown_secret(token: &Token, present: &Directory) -> Option<Cause> {
    match present.token(token.id) {
        Some(same) if is_same(same, token) => (same.created_at >= token.created_at).then_some(Cause::Rotated),
        Some(_) => None,
        None => present.service().has_assigned_token(token.id).then_some(Cause::Deleted(None)),
    }
}

/// Returns true if two tokens with one number are the same token, with perhaps different secrets.
fn is_same(one: &Token, other: &Token) -> bool {
    one.owner == other.owner && one.name == other.name
}

fn revoked(regained: &Regained, present: &Directory, now: Timestamp) -> Record {
    let password = |user: &User| present.user(user.id).and_then(|same| same.password.clone());
    match &regained.subject {
        Subject::User(user) => Record::User(User { blocked: true, password: password(user), ..User::clone(user) }),
        Subject::Password(user) => Record::User(User { password: password(user), ..User::clone(user) }),
        Subject::Token(token) => {
            let at = match regained.cause {
                Cause::Revoked(at) | Cause::Deleted(Some(at)) | Cause::Expired(at) => at,
                Cause::Deleted(None) | Cause::Blocked | Cause::Changed | Cause::Rotated => now,
            };
            Record::Token(Token { revoked_at: Some(at), ..Token::clone(token) })
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
