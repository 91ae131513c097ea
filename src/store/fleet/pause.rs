//! A pause after a failure of an engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time after a failure of an engine in which pulls do not use it, so that they do not all wait for it.
pub(super) struct Pause {
    began: Instant,
    /// Milliseconds since `began` until which it lasts.
    until: AtomicU64,
    length: Duration,
}

impl Pause {
    /// Creates a pause of this length, which has not begun.
    pub(super) fn new(length: Duration) -> Self {
        Self { began: Instant::now(), until: AtomicU64::default(), length }
    }

    /// Begins the pause, or begins it anew.
    pub(super) fn begin(&self) {
        let until = (self.began.elapsed() + self.length).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns true while the pause lasts.
    pub(super) fn is_on(&self) -> bool {
        self.began.elapsed().as_millis() < self.until.load(Ordering::Relaxed).into()
    }
}
