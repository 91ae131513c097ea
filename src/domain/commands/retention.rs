//! Retention: removal of ended tokens, old secrets and tombstones after a fixed time. To be run once an hour.

use jiff::{SignedDuration, Timestamp};

use super::{ChangeBuilder, CommandResult};
use crate::domain::directory::{Directory, Record, RecordKey};
use crate::domain::token::{Token, Tombstone};

/// Removes tombstones older than [`Tombstone::DAYS`] days, and the oldest of those beyond `max_tombstones`; tokens
/// that were revoked or expired more than that time ago; and old secrets that ended more than that time ago. Returns
/// the number of writes. Never fails.
pub fn expire(directory: &Directory, max_tombstones: usize, now: Timestamp) -> CommandResult<usize> {
    let age = SignedDuration::from_hours(24 * Tombstone::DAYS);
    let old = |at: Timestamp| now.duration_since(at) > age;
    let mut builder = ChangeBuilder::of(directory);
    let mut stones: Vec<_> = directory.tombstones().map(|stone| (stone.deleted_at, stone.credential)).collect();
    stones.sort_unstable();
    let too_many = stones.len().saturating_sub(max_tombstones);
    for (index, (deleted_at, credential)) in stones.into_iter().enumerate() {
        if index < too_many || old(deleted_at) {
            builder.remove(RecordKey::Tombstone(credential));
        }
    }
    for token in directory.tokens() {
        if token.revoked_at.is_some_and(old) {
            builder.remove_token(token.id);
        } else if token.expires_at.is_some_and(old) {
            builder.forget(directory, token, now);
        } else if token.old_secret.is_some_and(|secret| old(secret.expires_at)) {
            builder.put(Record::Token(Token { old_secret: None, ..Token::clone(token) }));
        }
    }
    let forgotten = builder.len();
    Ok(builder.finish(forgotten))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::id::{CredentialId, GroupId, TokenId};
    use crate::domain::scope::Scopes;
    use crate::domain::token::{OldSecret, TokenOwner};

    const NOW: i64 = 1_000_000_000;

    fn days_ago(days: i64) -> Timestamp {
        Timestamp::from_second(NOW - 24 * 3600 * days).unwrap()
    }

    fn deploy_token(id: u8, ended_days_ago: i64) -> Token {
        let owner = TokenOwner::Deploy { group: GroupId(1), username: "ci".to_owned() };
        let secret = (CredentialId::from_random([id; 16]), Digest::from_bytes([id; 32]));
        let token = Token::new(TokenId(id.into()), owner, "", Scopes::pull(), secret, Timestamp::UNIX_EPOCH);
        Token { expires_at: Some(days_ago(ended_days_ago)), ..token }
    }

    fn left(records: Vec<Record>, max_tombstones: usize) -> Directory {
        let mut directory = Directory::from_records(records);
        let (writes, forgotten) = expire(&directory, max_tombstones, days_ago(0)).unwrap();
        assert_eq!(writes.len(), forgotten);
        directory.apply(&writes);
        directory
    }

    #[test]
    fn tokens_are_forgotten_90_days_after_they_expired() {
        let tokens = [(1, 91), (2, 89), (3, -1)].map(|(id, ago)| Record::Token(deploy_token(id, ago)));
        let left: Vec<_> = left(tokens.into(), 9).tokens().map(|token| token.id.0).collect();
        assert_eq!(left, [2, 3]);
    }

    #[test]
    fn an_old_secret_is_forgotten_90_days_after_it_ended() {
        let token = |id: u8, ended_days_ago: i64| {
            let secret = Digest::from_bytes([id + 100; 32]);
            let credential = CredentialId::from_random([id + 100; 16]);
            let old_secret = Some(OldSecret { secret, credential, expires_at: days_ago(ended_days_ago) });
            Record::Token(Token { old_secret, ..deploy_token(id, -1) })
        };
        let directory = left(vec![token(1, 91), token(2, 89)], 9);
        let has_old: Vec<_> = directory.tokens().map(|token| token.old_secret.is_some()).collect();
        assert_eq!(has_old, [false, true]);
        assert!(directory.secret(&Digest::from_bytes([101; 32])).is_none());
    }

    #[test]
    fn of_too_many_tombstones_the_oldest_are_forgotten() {
        let stone = |id: u8| Record::Tombstone(Tombstone::of(&deploy_token(id, 0), days_ago(id.into())));
        let directory = left((1..=5).map(stone).collect(), 2);
        let mut left: Vec<_> = directory.tombstones().map(|stone| stone.deleted_at).collect();
        left.sort_unstable();
        assert_eq!(left, [days_ago(2), days_ago(1)]);
    }
}
