//! When to send a request again to an upstream that has just failed: a second later, then twice as long each time, up to half a
//! minute, and then one at a time. So what is served stale meanwhile is so for no more than twice as long as the failure lasts.
//! Reads no clock.

use std::time::{Duration, Instant};

/// The state of one upstream.
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
    /// Whether to send a request now. After a failure only one caller gets a yes, until that one has reported.
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

    /// Nothing was learnt from the request, so that the next one may be sent.
    pub fn release(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.probing = false;
        }
    }

    /// Upstream gave no usable response. Failures of requests that were sent before the pause began do not lengthen it.
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
