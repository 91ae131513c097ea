//! Backoff after failed upstream requests: one second after the first failure, then twice as long after each further
//! one, up to 30 s, with one probe at a time. Stale content is therefore served for at most about twice as long as
//! the outage lasts. Reads no clock.

use std::time::{Duration, Instant};

use super::deadlines;

/// The backoff state of one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failed: Option<Failed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    /// Number of failures in a row. Those that are reported during a pause are not counted.
    count: u32,
    at: Instant,
    /// The last failure, also if it is not counted.
    last: Instant,
    pause: Duration,
    /// Start of the probe that is under way.
    probe: Option<Instant>,
}

/// State of a circuit breaker, which decides whether requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Circuit {
    /// Requests are sent.
    Closed,
    /// The next request tries whether upstream works again.
    HalfOpen,
    /// Requests for which stale content can be served instead are not sent; after several failures, others are not
    /// sent, either.
    Open,
}

/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Number of failures in a row after which requests without stale content are refused, too. Fewer may be bad luck: the
/// next request may well succeed.
const FAILURES_OF_AN_OUTAGE: u32 = 3;
/// Maximum time after a failure for which such requests are refused: a client fails meanwhile, although upstream may
/// work again.
const MAX_REFUSAL: Duration = Duration::from_secs(5);

impl Backoff {
    /// Returns true if a request for which stale content can be served instead may be sent now. After a failure only
    /// one caller at a time gets true, until that caller has reported the result.
    pub fn try_request(&mut self, now: Instant) -> bool {
        match &mut self.failed {
            None => true,
            Some(failed) if failed.is_probing(now) || now < failed.at + failed.pause => false,
            Some(failed) => {
                failed.probe = Some(now);
                true
            }
        }
    }

    /// Returns true if a request may be sent now that nothing can stand in for.
    pub fn admits(&self, now: Instant) -> bool {
        let in_outage = |failed: &Failed| failed.count >= FAILURES_OF_AN_OUTAGE;
        self.failed.filter(in_outage).is_none_or(|failed| now >= failed.last + failed.pause.min(MAX_REFUSAL))
    }

    /// Returns the state of the circuit, and the end of the pause; `None` if the last request did not fail.
    pub fn circuit(&self, now: Instant) -> Option<(Circuit, Instant)> {
        let end = self.failed.map(|failed| failed.at + failed.pause)?;
        Some(if now < end { (Circuit::Open, end) } else { (Circuit::HalfOpen, now) })
    }

    /// Returns the time of the last failure; `None` if the last request did not fail.
    pub fn last_failure(&self) -> Option<Instant> {
        self.failed.map(|failed| failed.last)
    }

    /// Ends a probe without a result, so that the next caller may send one.
    pub fn release(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.probe = None;
        }
    }

    /// Records a failed request and starts or lengthens the pause. Failures that are reported during a pause do not
    /// lengthen it: most of their requests were sent before it began. `wanted` is the pause that upstream reports; it
    /// lengthens the pause up to the maximum.
    pub fn failed(&mut self, now: Instant, wanted: Option<Duration>) {
        let (count, pause) = match &mut self.failed {
            None => (1, FIRST_PAUSE),
            Some(failed) if now < failed.at + failed.pause => {
                failed.last = now;
                return;
            }
            Some(failed) => (failed.count.saturating_add(1), failed.pause * 2),
        };
        let pause = pause.max(wanted.unwrap_or_default()).min(MAX_PAUSE);
        self.failed = Some(Failed { count, at: now, last: now, pause, probe: None });
    }
}

impl Failed {
    fn is_probing(&self, now: Instant) -> bool {
        self.probe.is_some_and(|start| now < start + deadlines::PROBE)
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
            backoff.failed(now, None);
            let pause = (0..).find(|seconds| backoff.clone().try_request(now + Duration::from_secs(*seconds)));
            pauses.extend(pause);
            now += Duration::from_secs(pause.unwrap_or(0));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn upstream_may_lengthen_a_pause_up_to_the_maximum() {
        let now = Instant::now();
        for (wanted, seconds) in [(0, 1), (10, 10), (3600, 30)] {
            let mut backoff = Backoff::default();
            backoff.failed(now, Some(Duration::from_secs(wanted)));
            assert_eq!(backoff.circuit(now), Some((Circuit::Open, now + Duration::from_secs(seconds))));
        }
    }

    #[test]
    fn one_probe_at_a_time() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.circuit(now), None);
        backoff.failed(now, None);
        let later = now + FIRST_PAUSE;
        assert_eq!(backoff.circuit(now), Some((Circuit::Open, later)));
        assert_eq!(backoff.circuit(later), Some((Circuit::HalfOpen, later)));
        assert!(backoff.try_request(later));
        assert!(!backoff.try_request(later));
        backoff.release();
        assert!(backoff.try_request(later) && !backoff.try_request(later));
    }

    #[test]
    fn failures_that_come_together_count_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now, None);
        backoff.failed(now + FIRST_PAUSE / 2, None);
        assert!(backoff.try_request(now + FIRST_PAUSE));
    }

    #[test]
    fn a_probe_without_a_result_holds_up_the_next_one_for_a_bounded_time() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now, None);
        let lost = now + FIRST_PAUSE;
        assert!(backoff.try_request(lost));
        assert!(!backoff.try_request(lost + deadlines::PROBE / 2));
        assert!(backoff.try_request(lost + deadlines::PROBE));
    }

    #[test]
    fn what_nothing_can_stand_in_for_is_refused_in_an_outage_only_and_briefly() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for _ in 1..FAILURES_OF_AN_OUTAGE {
            backoff.failed(now, None);
            assert!(backoff.admits(now));
            now += MAX_PAUSE;
        }
        for seconds in [4, 5, 5] {
            backoff.failed(now, None);
            let until = now + Duration::from_secs(seconds);
            assert!(!backoff.admits(until - Duration::from_millis(1)) && backoff.admits(until));
            now += MAX_PAUSE;
        }
    }
}
