//! What is forgotten with time. To be run about daily.

use jiff::{SignedDuration, Timestamp};

use super::{Draft, Edit};
use crate::domain::directory::{Directory, RecordKey};
use crate::domain::token::Tombstone;

/// Forgets tombstones older than [`Tombstone::DAYS`] days and the oldest of more than `max_tombstones`, and tokens that were
/// revoked or expired as long ago; tells how many records.
pub fn forget(directory: &Directory, max_tombstones: usize, now: Timestamp) -> Edit<usize> {
    let age = SignedDuration::from_hours(24 * Tombstone::DAYS);
    let old = |at: Timestamp| now.duration_since(at) > age;
    let mut draft = Draft::of(directory);
    let mut stones: Vec<_> = directory.tombstones().map(|stone| (stone.deleted_at, stone.credential)).collect();
    stones.sort_unstable();
    let too_many = stones.len().saturating_sub(max_tombstones);
    for (place, (deleted_at, credential)) in stones.into_iter().enumerate() {
        if place < too_many || old(deleted_at) {
            draft.remove(RecordKey::Tombstone(credential));
        }
    }
    for token in directory.tokens() {
        if token.revoked_at.is_some_and(old) {
            draft.ended.insert(token.id);
            draft.remove(RecordKey::Token(token.id));
        } else if token.expires_at.is_some_and(old) {
            draft.forget(directory, token, now);
        }
    }
    let forgotten = draft.writes.len();
    Ok(draft.finish(forgotten))
}
