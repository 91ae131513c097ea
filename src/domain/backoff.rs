//! When to ask an upstream again that has just failed: 15 seconds later, then twice as long each time, up to 5 minutes, and
//! then with one probe at a time. Reads no clock.

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

const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Backoff {
    /// Whether to ask now. After a failure only one asker gets a yes, until that one has reported.
    pub fn try_ask(&mut self, now: Instant) -> bool {
        match &mut self.failed {
            None => true,
            Some(failed) if failed.probing || now < failed.until => false,
            Some(failed) => {
                failed.probing = true;
                true
            }
        }
    }

    /// Upstream answered.
    pub fn succeeded(&mut self) {
        self.failed = None;
    }

    /// Upstream was not asked after all, so that the next asker may try.
    pub fn not_asked(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.probing = false;
        }
    }

    /// Upstream gave no usable answer. Failures of what was asked before the pause began do not lengthen it.
    pub fn failed(&mut self, now: Instant) {
        let pause = match self.failed {
            None => FIRST_PAUSE,
            Some(failed) if now < failed.until => return,
            Some(failed) => (failed.pause * 2).min(LONGEST_PAUSE),
        };
        self.failed = Some(Failed { pause, until: now + pause, probing: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_minutes() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(backoff.try_ask(now));
            backoff.failed(now);
            let pause = (0..).find(|seconds| backoff.clone().try_ask(now + Duration::from_secs(*seconds)));
            pauses.extend(pause);
            now += Duration::from_secs(pause.unwrap_or(0));
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn one_probe_at_a_time() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        let later = now + FIRST_PAUSE;
        assert!(backoff.try_ask(later));
        assert!(!backoff.try_ask(later));
        backoff.succeeded();
        assert!(backoff.try_ask(later) && backoff.try_ask(later));
    }

    #[test]
    fn failures_that_come_together_count_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        backoff.failed(now + Duration::from_secs(1));
        assert!(backoff.try_ask(now + FIRST_PAUSE));
    }
}
