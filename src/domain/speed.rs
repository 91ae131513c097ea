//! Speed of a transfer: the mean over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples of the last seconds: a time, and the bytes received until then.
#[derive(Clone, Debug, Default)]
pub struct Speed(VecDeque<(Instant, u64)>);

/// Time over which the mean is taken.
pub const SPEED_WINDOW: Duration = Duration::from_secs(5);

impl Speed {
    /// Adds a sample: the number of bytes that have been received in all at `now`.
    pub fn note(&mut self, bytes: u64, now: Instant) {
        self.0.push_back((now, bytes));
        // The newest sample that is at least as old as the window stays: the mean begins at it.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPEED_WINDOW) {
            self.0.pop_front();
        }
    }

    /// Returns the speed in bytes per second, when `bytes` have been received in all at `now`; `None` if the oldest
    /// sample is younger than half a second.
    pub fn per_second(&self, bytes: u64, now: Instant) -> Option<u64> {
        let (since, before) = self.0.front()?;
        let seconds = now.duration_since(*since).as_secs_f64();
        (seconds >= 0.5).then(|| (bytes.saturating_sub(*before) as f64 / seconds) as u64)
    }
}

/// Returns the time until `rest` bytes are received at this speed; `None` at a speed of 0.
pub fn time_left(rest: u64, bytes_per_second: u64) -> Option<Duration> {
    (bytes_per_second > 0).then(|| Duration::from_secs_f64(rest as f64 / bytes_per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut speed = Speed::default();
        assert_eq!(speed.per_second(10, start), None);
        speed.note(0, start);
        assert_eq!(speed.per_second(10, start), None, "no time has passed");
        for second in 1..=10 {
            speed.note(1_000 * second, at(second));
        }
        assert_eq!(speed.per_second(10_000, at(10)), Some(1_000));
        for second in 11..=15 {
            speed.note(10_000, at(second));
        }
        assert_eq!(speed.per_second(10_000, at(15)), Some(0), "it stands still");
        assert!(speed.0.len() <= 6, "{}", speed.0.len());
        assert_eq!((time_left(3_000, 1_000), time_left(1, 0)), (Some(Duration::from_secs(3)), None));
    }
}
