//! What is forgotten with time. To be run about daily.

use jiff::{SignedDuration, Timestamp};

use super::{Draft, Edit};
use crate::domain::directory::{Directory, RecordKey};
use crate::domain::token::Tombstone;

/// Forgets tombstones older than [`Tombstone::DAYS`] days, and tokens that were revoked as long ago; tells how many.
pub fn forget(directory: &Directory, now: Timestamp) -> Edit<usize> {
    let age = SignedDuration::from_hours(24 * Tombstone::DAYS);
    let old = |at: Timestamp| now.duration_since(at) > age;
    let mut draft = Draft::of(directory);
    for stone in directory.tombstones().filter(|stone| old(stone.deleted_at)) {
        draft.remove(RecordKey::Tombstone(stone.credential));
    }
    for token in directory.tokens().filter(|token| token.revoked_at.is_some_and(old)) {
        draft.remove(RecordKey::Token(token.id));
    }
    let forgotten = draft.writes.len();
    Ok(draft.finish(forgotten))
}
