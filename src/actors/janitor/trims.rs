//! State of the quotas of groups: which of them stay over theirs, and when links are removed again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::id::GroupId;

/// State of the quotas of groups. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Trims(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Groups that stay over their quotas, because what they hold is pinned, with the time at which that was seen.
    full_of_pins: HashMap<GroupId, Instant>,
    /// Time of the next removal; `None`: at once.
    next: Option<Instant>,
}

/// Time after which a group that stays over its quota is looked at again.
const PINS_RETRY_INTERVAL: Duration = Duration::from_secs(600);

/// Pause after a removal for quotas, as a multiple of its duration: each reads the whole index, and a group whose quota
/// is smaller than what it pulls within seconds is always over it.
const PAUSE_FACTOR: u32 = 20;

impl Trims {
    /// Returns true if this group was seen a short time ago to stay over its quota.
    pub(super) fn is_full_of_pins(&self, group: GroupId) -> bool {
        self.state().full_of_pins.get(&group).is_some_and(|since| since.elapsed() < PINS_RETRY_INTERVAL)
    }

    /// Notes that this group stays over its quota.
    pub(super) fn set_full_of_pins(&self, group: GroupId) {
        self.state().full_of_pins.insert(group, Instant::now());
    }

    /// Returns true if a removal may begin.
    pub(super) fn is_time(&self, now: Instant) -> bool {
        self.state().next.is_none_or(|next| now >= next)
    }

    /// Notes a removal between these times.
    pub(super) fn ended(&self, began: Instant, now: Instant) {
        self.state().next = now.checked_add(now.saturating_duration_since(began).saturating_mul(PAUSE_FACTOR));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_for_quotas_take_a_twentieth_of_the_time_at_most() {
        let (trims, start) = (Trims::default(), Instant::now());
        assert!(trims.is_time(start));
        let ended = start + Duration::from_secs(2);
        trims.ended(start, ended);
        assert!(!trims.is_time(ended + Duration::from_secs(39)));
        assert!(trims.is_time(ended + Duration::from_secs(40)));
    }
}
