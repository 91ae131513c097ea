//! Recent deliveries of stored blobs to clients. A client that requests the same whole blob again within minutes
//! may have found that it does not match its digest: clients verify, and try again. A lock-free table of fixed
//! size, because each hit writes to it; a newer entry replaces an older one in the same slot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::domain::digest::Digest;

/// The time of the last delivery by client and blob. The upper half of an entry is a hash of client and blob. The
/// lower half is the time in seconds, and the flag [`REPORTED`].
pub(super) struct Repeats {
    entries: Box<[AtomicU64]>,
    start: Instant,
}

/// Number of slots of the table.
const ENTRIES: usize = 4096;

/// Maximum time in seconds between two deliveries that count as a repeat.
const WINDOW_SECONDS: u32 = 600;

/// Minimum time in seconds between two reports of the same repeat, so a repeat is reported at most once in this time:
/// many runners may share a credential.
const REPORT_INTERVAL_SECONDS: u32 = 2;

/// Flag of an entry whose last delivery was reported as a repeat.
const REPORTED: u32 = 1 << 31;

impl Repeats {
    pub(super) fn new() -> Self {
        Self { entries: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect(), start: Instant::now() }
    }

    /// Records that this blob is sent to this client. Returns true for a repeat within [`WINDOW_SECONDS`] that was
    /// not reported in the last [`REPORT_INTERVAL_SECONDS`].
    pub(super) fn is_repeat(&self, client: u64, digest: &Digest) -> bool {
        self.is_repeat_at(client, digest, self.start.elapsed().as_secs() as u32)
    }

    fn is_repeat_at(&self, client: u64, digest: &Digest, seconds: u32) -> bool {
        let hash = mix(client, digest);
        let entry = &self.entries[hash as usize % ENTRIES];
        let now = seconds & !REPORTED;
        let (known, time) = split(entry.load(Ordering::Relaxed));
        let age = now.wrapping_sub(time & !REPORTED) & !REPORTED;
        let is_repeat = known == fingerprint(hash) && age <= WINDOW_SECONDS;
        if is_repeat && time & REPORTED != 0 && age < REPORT_INTERVAL_SECONDS {
            return false;
        }
        let time = if is_repeat { now | REPORTED } else { now };
        // Two threads may overwrite each other's entry. A lost repeat only delays a verification.
        entry.store(u64::from(fingerprint(hash)) << 32 | u64::from(time), Ordering::Relaxed);
        is_repeat
    }
}

/// Returns the upper half of an entry. Never 0, which marks an empty slot.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

/// Returns the upper and the lower half of an entry.
fn split(entry: u64) -> (u32, u32) {
    ((entry >> 32) as u32, entry as u32)
}

/// Returns a hash of client and blob. The digest is a hash already, so that a cheap mix is enough.
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
    fn a_client_that_gets_a_blob_again_within_minutes_is_reported_at_intervals() {
        let repeats = Repeats::new();
        assert!(!repeats.is_repeat_at(1, &BLOB, 0));
        assert!(repeats.is_repeat_at(1, &BLOB, 0));
        assert!(!repeats.is_repeat_at(1, &BLOB, 1), "it was reported");
        assert!(repeats.is_repeat_at(1, &BLOB, 2));
        assert!(repeats.is_repeat_at(1, &BLOB, 2 + WINDOW_SECONDS));
        assert!(!repeats.is_repeat_at(1, &BLOB, 3 + 2 * WINDOW_SECONDS), "too late to be a second try");
        assert!(repeats.is_repeat_at(1, &BLOB, 4 + 2 * WINDOW_SECONDS));
    }

    #[test]
    fn other_clients_and_other_blobs_are_no_repeats() {
        let repeats = Repeats::new();
        assert!(
            !repeats.is_repeat_at(1, &BLOB, 0)
                && !repeats.is_repeat_at(2, &BLOB, 0)
                && !repeats.is_repeat_at(1, &OTHER, 0)
        );
    }
}
