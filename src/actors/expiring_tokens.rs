//! Reports on tokens that are about to expire: a gauge for alerts, and one log line per token. Tokens with a
//! lifetime of a week or less are expected to expire, and are left out of both, as are those of blocked users.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::commands::summary::token_name;
use crate::domain::directory::Directory;
use crate::domain::token::Token;

/// The time of the last report. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub struct ExpiringTokens(Arc<Mutex<Option<Timestamp>>>);

/// Numbers of days, with their metric labels, within which expiring tokens are counted in the gauge.
const COUNTED_DAYS: [(i64, &str); 3] = [(1, "1"), (7, "7"), (30, "30")];
/// Numbers of remaining days at which a token is logged.
const NAMED_DAYS: [i64; 3] = [1, 7, 14];
/// Lifetime in days up to which a token is left out.
const MIN_LIFE_DAYS: i64 = 7;
/// Maximum number of tokens that one report logs by name; of the others only the number is logged.
const MAX_NAMED: usize = 100;

impl ExpiringTokens {
    /// Sets the gauge, and logs the tokens that passed one of [`NAMED_DAYS`] since the last call. The first call
    /// logs every token with 14 days left or less.
    pub(super) fn report(&self, directory: &Directory, now: Timestamp) {
        for ((_, label), number) in COUNTED_DAYS.iter().zip(count(directory, now)) {
            metrics::gauge!("dependency_proxy_tokens_expiring", "days" => *label).set(f64::from(number));
        }
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        let due = due(directory, since, now);
        for (token, days) in due.iter().take(MAX_NAMED) {
            name(directory, token, *days);
        }
        if due.len() > MAX_NAMED {
            tracing::warn!(tokens = due.len() - MAX_NAMED, "more tokens expire soon");
        }
    }
}

fn name(directory: &Directory, token: &Token, days: i64) {
    let (name, expires_at) = (token_name(directory, token), token.expires_at.map(tracing::field::display));
    if days <= 7 {
        tracing::warn!(token = token.id.0, name, credential = %token.credential, days, expires_at, "a token expires soon");
    } else {
        tracing::info!(token = token.id.0, name, credential = %token.credential, days, expires_at, "a token expires soon");
    }
}

/// Returns the active tokens with a lifetime of more than [`MIN_LIFE_DAYS`] whose users are not blocked, and the times
/// at which they expire.
fn lasting(directory: &Directory, now: Timestamp) -> impl Iterator<Item = (&Token, Timestamp)> {
    let is_blocked = |token: &Token| token.user().and_then(|id| directory.user(id)).is_some_and(|user| user.blocked);
    let active = directory.tokens().map(AsRef::as_ref);
    let active = active.filter(move |token: &&Token| token.is_active(now) && !is_blocked(token));
    let with_end = active.filter_map(|token| Some((token, token.expires_at?)));
    with_end.filter(|(token, end)| end.duration_since(token.created_at) > days(MIN_LIFE_DAYS))
}

/// Returns the number of tokens that expire within each of [`COUNTED_DAYS`].
fn count(directory: &Directory, now: Timestamp) -> [u32; 3] {
    let ends: Vec<Timestamp> = lasting(directory, now).map(|(_, end)| end).collect();
    COUNTED_DAYS.map(|(within, _)| {
        let expiring = ends.iter().filter(|end| end.duration_since(now) <= days(within)).count();
        u32::try_from(expiring).unwrap_or(u32::MAX)
    })
}

/// Returns the tokens that passed one of [`NAMED_DAYS`] between `since` and `now`, with that number of days.
fn due(directory: &Directory, since: Option<Timestamp>, now: Timestamp) -> Vec<(&Token, i64)> {
    let stage =
        |at: Timestamp, end: Timestamp| NAMED_DAYS.into_iter().find(|left| end.duration_since(at) <= days(*left));
    let due = |(token, end)| {
        let stage_now = stage(now, end)?;
        let stage_then = since.and_then(|since| stage(since, end));
        (stage_then != Some(stage_now)).then_some((token, stage_now))
    };
    lasting(directory, now).filter_map(due).collect()
}

fn days(number: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::directory::Record;
    use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
    use crate::domain::scope::Scopes;
    use crate::domain::token::TokenOwner;
    use crate::domain::user::User;

    /// Returns a token that is created on day 0 and expires after this number of days.
    fn token(number: u8, life_days: i64) -> Token {
        let owner = TokenOwner::Deploy { group: GroupId(1), username: format!("ci-{number}") };
        let secret = (CredentialId::from_random([number; 16]), Digest::from_bytes([number; 32]));
        let (id, name, created_at) = (TokenId(number.into()), format!("token-{number}"), Timestamp::UNIX_EPOCH);
        let token = Token::new(id, owner, name, Scopes::pull(), secret, created_at);
        Token { expires_at: Some(created_at + days(life_days)), ..token }
    }

    fn named(directory: &Directory, since: Option<i64>, now: i64) -> Vec<(u64, i64)> {
        let at = |day| Timestamp::UNIX_EPOCH + days(day);
        due(directory, since.map(at), at(now)).into_iter().map(|(token, days)| (token.id.0, days)).collect()
    }

    #[test]
    fn a_token_is_named_once_at_14_7_and_1_days_and_once_after_a_start() {
        let directory = Directory::from_records([Record::Token(token(1, 90))]);
        let days = (0..90).filter(|day| !named(&directory, Some(day - 1), *day).is_empty()).collect::<Vec<_>>();
        assert_eq!(days, [76, 83, 89]);
        assert_eq!(named(&directory, Some(75), 76), [(1, 14)]);
        assert_eq!(named(&directory, Some(70), 88), [(1, 7)], "only the nearest where some were missed");
        assert_eq!(named(&directory, None, 80), [(1, 14)]);
        assert_eq!(named(&directory, None, 75), []);
        assert_eq!(named(&directory, None, 90), [], "it has expired");
    }

    #[test]
    fn tokens_of_blocked_users_are_left_out() {
        let alice = User::new(UserId(1), "alice".parse().unwrap(), "", Timestamp::UNIX_EPOCH);
        let user = |blocked| User { blocked, ..alice.clone() };
        let mine = Token { owner: TokenOwner::Personal { user: UserId(1) }, ..token(1, 90) };
        for (blocked, number) in [(false, 1), (true, 0)] {
            let directory = Directory::from_records([Record::User(user(blocked)), Record::Token(mine.clone())]);
            assert_eq!(named(&directory, None, 80).len(), number);
            assert_eq!(count(&directory, Timestamp::UNIX_EPOCH + days(80)), [0, 0, number as u32]);
        }
    }

    #[test]
    fn tokens_for_a_week_or_less_are_left_out() {
        let directory = Directory::from_records([Record::Token(token(1, 7)), Record::Token(token(2, 8))]);
        assert_eq!(named(&directory, None, 6), [(2, 7)]);
        assert_eq!(count(&directory, Timestamp::UNIX_EPOCH + days(7)), [1, 1, 1]);
        assert_eq!(count(&directory, Timestamp::UNIX_EPOCH), [0, 0, 1]);
    }
}
