//! Pace of requests to an upstream that has reported that its limit is reached (429): none until the time that it
//! named, then one, and then twice as many at a time after each success. Reads no clock.

use std::time::{Duration, Instant};

/// The pace of requests of one account.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Time until which no request is sent.
    closed_until: Option<Instant>,
    /// Maximum number of requests at the same time; `None`: any.
    max: Option<usize>,
    running: usize,
    /// Pause after the next 429 that names none.
    pause: Duration,
}

/// Reason why a request may not be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Upstream's limit is reached until then.
    Until(Instant),
    /// Others are trying whether the limit has passed.
    Behind,
}

/// Outcome of a request, as far as the pace depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The limit is not reached.
    Passed,
    /// The limit is reached, for this time where upstream reports it.
    Limited(Option<Duration>),
    /// Unknown, as upstream did not respond.
    Unknown,
}

/// Pause after the first 429, if upstream reports none.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Maximum pause, if upstream reports none.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Minimum pause: a `Retry-After` of zero must not become a loop.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// Number of concurrent requests from which on there is no maximum.
const UNLIMITED_FROM: usize = 64;

impl Default for Throttle {
    fn default() -> Self {
        Self { closed_until: None, max: None, running: 0, pause: FIRST_PAUSE }
    }
}

impl Throttle {
    /// Admits a request, whose outcome must be reported with [`Self::ended`].
    ///
    /// # Errors
    ///
    /// Returns why it may not be sent now.
    pub fn enter(&mut self, now: Instant) -> Result<(), Held> {
        if let Some(until) = self.closed_until(now) {
            return Err(Held::Until(until));
        }
        if self.max.is_some_and(|max| self.running >= max) {
            return Err(Held::Behind);
        }
        self.running += 1;
        Ok(())
    }

    /// Records the end of a request.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) {
        self.running = self.running.saturating_sub(1);
        match outcome {
            Outcome::Limited(wait) => self.limited(wait, now),
            // A response to a request that was sent before the limit was reached shows nothing about it.
            Outcome::Passed if self.closed_until(now).is_none() => {
                self.max = self.max.map(|max| max * 2).filter(|max| *max < UNLIMITED_FROM);
                self.pause = FIRST_PAUSE;
            }
            Outcome::Passed | Outcome::Unknown => {}
        }
    }

    /// Sends no request until then, because another replica has got a 429. Returns false if none is sent until then
    /// anyway.
    pub fn hold(&mut self, until: Instant, now: Instant) -> bool {
        if until <= now || self.closed_until(now).is_some_and(|closed| until <= closed) {
            return false;
        }
        self.closed_until = Some(until);
        self.max = Some(1);
        true
    }

    /// Returns the time until which no request is sent, if there is one.
    pub fn closed_until(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| now < *until)
    }

    fn limited(&mut self, wait: Option<Duration>, now: Instant) {
        let is_first = self.closed_until(now).is_none();
        let until = now + wait.unwrap_or(self.pause).max(MIN_PAUSE);
        self.closed_until = Some(self.closed_until.map_or(until, |before| before.max(until)));
        self.max = Some(1);
        // Those that were sent at the same time count as one.
        if is_first && wait.is_none() {
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many requests may be sent at the same time, up to a hundred.
    fn at_once(throttle: &mut Throttle, now: Instant) -> usize {
        (0..100).take_while(|_| throttle.enter(now).is_ok()).count()
    }

    #[test]
    fn nothing_is_held_before_a_limit_is_reached() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(at_once(&mut throttle, now), 100);
    }

    #[test]
    fn after_the_time_that_upstream_named_one_request_tries_and_then_twice_as_many() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(at_once(&mut throttle, now), 100);
        for _ in 0..100 {
            throttle.ended(Outcome::Limited(Some(Duration::from_secs(10))), now);
        }
        let until = now + Duration::from_secs(10);
        assert_eq!(throttle.enter(now), Err(Held::Until(until)));
        for expected in [1, 2, 4, 8, 16, 32, 100] {
            assert_eq!(at_once(&mut throttle, until), expected);
            if expected < 100 {
                assert_eq!(throttle.enter(until), Err(Held::Behind));
            }
            (1..expected).for_each(|_| throttle.ended(Outcome::Unknown, until));
            throttle.ended(Outcome::Passed, until);
        }
    }

    #[test]
    fn a_limit_that_holds_on_closes_it_again_and_its_pauses_become_longer() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(throttle.enter(now), Ok(()));
            throttle.ended(Outcome::Limited(None), now);
            let until = throttle.closed_until(now).unwrap_or(now);
            pauses.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_pause_of_another_replica_holds_and_is_never_shortened() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let (later, latest) = (now + Duration::from_secs(5), now + Duration::from_secs(9));
        assert!(!throttle.hold(now, now) && throttle.hold(latest, now) && !throttle.hold(later, now));
        assert_eq!(throttle.enter(later), Err(Held::Until(latest)));
        assert_eq!(at_once(&mut throttle, latest), 1, "one request tries whether the limit has passed");
    }

    #[test]
    fn a_response_to_an_earlier_request_does_not_open_it() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(at_once(&mut throttle, now), 100);
        throttle.ended(Outcome::Limited(Some(Duration::ZERO)), now);
        throttle.ended(Outcome::Passed, now);
        assert_eq!(throttle.enter(now), Err(Held::Until(now + MIN_PAUSE)));
    }
}
