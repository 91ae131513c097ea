//! Reads of stored content: recorded in memory at every pull, written to the index every few seconds. Of several reads
//! of one content within one second the first is recorded, so that a herd counts as one.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::once_per_tick::OncePerTick;
use crate::domain::digest::Digest;

/// Reads that are not written yet. Cheap to clone; clones share their state.
#[derive(Clone, Default)]
pub struct Reads(Arc<Inner>);

#[derive(Default)]
struct Inner {
    unwritten: Mutex<HashMap<Digest, u32>>,
    /// Repeated reads of a content within one second skip the mutex.
    recorded: OncePerTick<1024>,
}

/// Maximum number of contents with reads that are not written. Further ones are not counted until then.
const MAX_UNWRITTEN: usize = 100_000;

impl Reads {
    /// Records that a content is read now.
    pub fn note(&self, digest: &Digest, now: Timestamp) {
        let Some(bytes) = digest.as_bytes().first_chunk::<8>() else { return };
        self.0.recorded.note(u64::from_be_bytes(*bytes), now.as_second(), || {
            let mut unwritten = self.unwritten();
            if unwritten.len() < MAX_UNWRITTEN || unwritten.contains_key(digest) {
                let reads = unwritten.entry(*digest).or_default();
                *reads = reads.saturating_add(1);
            }
        });
    }

    /// Returns the reads since the last call, by content.
    pub fn take(&self) -> HashMap<Digest, u32> {
        mem::take(&mut *self.unwritten())
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<Digest, u32>> {
        self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_counts_as_one_read_and_what_is_taken_is_not_counted_again() {
        let (reads, content) = (Reads::default(), Digest::from_bytes([7; 32]));
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        for second in [100, 100, 100, 101] {
            reads.note(&content, at(second));
        }
        assert_eq!(reads.take(), HashMap::from([(content, 2)]));
        reads.note(&content, at(101));
        assert_eq!(reads.take(), HashMap::new());
    }
}
