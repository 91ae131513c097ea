//! Lock-free filter for events that count once in each tick, which is a second or a minute: repeated events skip the
//! mutex behind it.

use std::sync::atomic::{AtomicU64, Ordering};

/// The last events, by a hash of what they are about. Of the hash, only the upper 32 bits and those that select the
/// slot are compared.
pub(super) struct OncePerTick<const SLOTS: usize> {
    /// A slot holds the upper 32 bits of a hash, and in its lower 32 bits the tick of the event. Events of two hashes
    /// that share a slot are only recorded more often.
    slots: [AtomicU64; SLOTS],
}

impl<const SLOTS: usize> Default for OncePerTick<SLOTS> {
    fn default() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

impl<const SLOTS: usize> OncePerTick<SLOTS> {
    /// Records an event, unless it was recorded in this tick already. `tick` is the number of the second or of the
    /// minute, of which the lower 32 bits are compared. Other threads skip the event only after `record` has returned.
    pub(super) fn note(&self, hash: u64, tick: i64, record: impl FnOnce()) {
        let seen = hash & !0xffff_ffff | u64::from(tick as u32);
        let slot = &self.slots[hash as usize % SLOTS];
        if slot.load(Ordering::Relaxed) != seen {
            record();
            slot.store(seen, Ordering::Relaxed);
        }
    }
}
