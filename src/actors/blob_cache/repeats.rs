//! Which client was given which stored blob a moment ago. A client that is given the same blob whole again within minutes may have
//! found that it does not have its digest: clients verify, and try again. A table of fixed size without a lock, in which a newer entry
//! takes the place of an older one: it is written to by every hit of another client or blob.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::domain::digest::Digest;

/// For each client and blob the last time; the upper half of an entry tells which, the lower half when, and whether it was
/// told already.
pub(super) struct Repeats {
    entries: Box<[AtomicU64]>,
    start: Instant,
}

const ENTRIES: usize = 4096;

/// A client that comes back after more seconds did not try again.
const WINDOW_SECONDS: u32 = 600;

/// The same repeat is told again after so many seconds at the earliest: many runners may share a credential.
const TELL_EVERY_SECONDS: u32 = 2;

const TOLD: u32 = 1 << 31;

impl Repeats {
    pub(super) fn new() -> Self {
        Self { entries: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect(), start: Instant::now() }
    }

    /// Notes that this client is given this blob. Says whether it was a moment ago, and nobody was told in the last seconds.
    pub(super) fn again(&self, client: u64, digest: &Digest) -> bool {
        self.again_at(client, digest, self.start.elapsed().as_secs() as u32)
    }

    fn again_at(&self, client: u64, digest: &Digest, seconds: u32) -> bool {
        let which = mix(client, digest);
        let entry = &self.entries[which as usize % ENTRIES];
        let now = seconds & !TOLD;
        let (known, when) = split(entry.load(Ordering::Relaxed));
        let age = now.wrapping_sub(when & !TOLD) & !TOLD;
        let again = known == tag(which) && age <= WINDOW_SECONDS;
        if again && when & TOLD != 0 && age < TELL_EVERY_SECONDS {
            return false;
        }
        let when = if again { now | TOLD } else { now };
        entry.store(u64::from(tag(which)) << 32 | u64::from(when), Ordering::Relaxed);
        again
    }
}

/// Never 0, which an empty entry has.
fn tag(which: u64) -> u32 {
    (which >> 32) as u32 | 1
}

fn split(entry: u64) -> (u32, u32) {
    ((entry >> 32) as u32, entry as u32)
}

fn mix(client: u64, digest: &Digest) -> u64 {
    let content = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mixed = (client ^ content).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Digest = Digest::from_bytes([7; 32]);
    const OTHER: Digest = Digest::from_bytes([8; 32]);

    #[test]
    fn a_client_that_is_given_a_blob_again_within_minutes_is_told_once_in_a_while() {
        let repeats = Repeats::new();
        assert!(!repeats.again_at(1, &BLOB, 0));
        assert!(repeats.again_at(1, &BLOB, 0));
        assert!(!repeats.again_at(1, &BLOB, 1), "it was told");
        assert!(repeats.again_at(1, &BLOB, 2));
        assert!(repeats.again_at(1, &BLOB, 2 + WINDOW_SECONDS));
        assert!(!repeats.again_at(1, &BLOB, 3 + 2 * WINDOW_SECONDS), "too late to be a second try");
        assert!(repeats.again_at(1, &BLOB, 4 + 2 * WINDOW_SECONDS));
    }

    #[test]
    fn other_clients_and_other_blobs_are_no_repeats() {
        let repeats = Repeats::new();
        assert!(!repeats.again_at(1, &BLOB, 0) && !repeats.again_at(2, &BLOB, 0) && !repeats.again_at(1, &OTHER, 0));
    }
}
