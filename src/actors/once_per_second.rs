//! Lock-free filter for events that count once in each second: repeated ones skip the mutex behind it.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// The last events, by a number that identifies what they are about. Of the number, only the upper 32 bits and those
/// that select the slot are compared.
pub(super) struct OncePerSecond<const SLOTS: usize> {
    /// A slot holds the upper 32 bits of a number, and in its lower 32 bits the second of the event. Events of two
    /// numbers that share a slot are only recorded more often.
    slots: [AtomicU64; SLOTS],
}

impl<const SLOTS: usize> Default for OncePerSecond<SLOTS> {
    fn default() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

impl<const SLOTS: usize> OncePerSecond<SLOTS> {
    /// Records an event, unless it was recorded in this second already. Others skip it only after `record` has
    /// returned.
    pub(super) fn note(&self, number: u64, now: Timestamp, record: impl FnOnce()) {
        let seen = number & !0xffff_ffff | u64::from(now.as_second() as u32);
        let slot = &self.slots[number as usize % SLOTS];
        if slot.load(Ordering::Relaxed) != seen {
            record();
            slot.store(seen, Ordering::Relaxed);
        }
    }
}
