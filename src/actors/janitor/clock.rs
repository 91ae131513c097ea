//! Notices when the clock of the machine jumps: what is removed for its age would all go at once.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Compares the clock of the machine with one that cannot be set.
pub(super) struct Clock {
    /// Both times of the last comparison.
    seen: (Timestamp, Instant),
}

/// Time by which the clock may be ahead between two comparisons. The shortest age is a day.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(12);

impl Clock {
    /// Starts at this time.
    pub(super) fn new(now: Timestamp, instant: Instant) -> Self {
        Self { seen: (now, instant) }
    }

    /// Returns the time by which the clock has jumped forward since the last call, or the start, if that is long. A
    /// machine that was suspended has jumped, too.
    pub(super) fn jump(&mut self, now: Timestamp, instant: Instant) -> Option<SignedDuration> {
        let (before, instant_before) = std::mem::replace(&mut self.seen, (now, instant));
        let passed: Duration = instant.saturating_duration_since(instant_before);
        let ahead = now.duration_since(before) - SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        (ahead > MAX_AHEAD).then_some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_or_back_has_not_jumped_and_one_that_is_days_ahead_has_once() {
        let (start, instant) = (Timestamp::UNIX_EPOCH, Instant::now());
        let mut clock = Clock::new(start, instant);
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        let mut jump =
            |wall: i64, passed: u64| clock.jump(start + days(wall), instant + Duration::from_secs(passed * 24 * 3600));
        assert_eq!(jump(2, 2), None);
        assert_eq!(jump(93, 3), Some(days(90)));
        assert_eq!(jump(94, 4), None);
        assert_eq!(jump(5, 5), None, "it is set back");
        assert_eq!(jump(6, 6), None);
    }
}
