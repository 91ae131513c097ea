//! Backoff after a failed upstream request: one second after the first failure, then twice as long after each further
//! one, up to 30 s, with one probe at a time. Stale content is therefore served for at most about twice as long as
//! the outage lasts. Reads no clock.

use std::time::{Duration, Instant};

/// The backoff state of one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failed: Option<Failed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    pause: Duration,
    until: Instant,
    probing: bool,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Backoff {
    /// Returns true if a request may be sent now. After a failure only one caller at a time gets true, until that
    /// caller has reported the result.
    pub fn try_request(&mut self, now: Instant) -> bool {
        match &mut self.failed {
            None => true,
            Some(failed) if failed.probing || now < failed.until => false,
            Some(failed) => {
                failed.probing = true;
                true
            }
        }
    }

    /// Ends a probe without a result, so that the next caller may send one.
    pub fn release(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.probing = false;
        }
    }

    /// Records a failed request and starts or lengthens the pause. Failures that are reported during a pause do not
    /// lengthen it: their requests were sent before it began.
    pub fn failed(&mut self, now: Instant) {
        let pause = match self.failed {
            None => FIRST_PAUSE,
            Some(failed) if now < failed.until => return,
            Some(failed) => (failed.pause * 2).min(MAX_PAUSE),
        };
        self.failed = Some(Failed { pause, until: now + pause, probing: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_half_a_minute() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(backoff.try_request(now));
            backoff.failed(now);
            let pause = (0..).find(|seconds| backoff.clone().try_request(now + Duration::from_secs(*seconds)));
            pauses.extend(pause);
            now += Duration::from_secs(pause.unwrap_or(0));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn one_probe_at_a_time() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        let later = now + FIRST_PAUSE;
        assert!(backoff.try_request(later));
        assert!(!backoff.try_request(later));
        backoff.release();
        assert!(backoff.try_request(later) && !backoff.try_request(later));
    }

    #[test]
    fn failures_that_come_together_count_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        backoff.failed(now + FIRST_PAUSE / 2);
        assert!(backoff.try_request(now + FIRST_PAUSE));
    }
}
