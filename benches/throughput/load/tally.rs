//! What a thread of the load generator counts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::connection::Received;

/// Counts and latencies. The latter are in microseconds, to three digits, up to ten minutes.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Answers that were right and whole.
    pub answers: u64,
    /// Bytes that arrived, heads included, also those of answers that were broken off by the end.
    pub bytes: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Short TLS handshakes.
    pub resumed: u64,
    /// Until the first byte of each answer; connecting is part of it where each request has a connection of its own.
    pub first_byte: Histogram<u64>,
    /// Until the last byte.
    pub total: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let (first_byte, total) = (histogram(), histogram());
        Self { answers: 0, bytes: 0, errors: BTreeMap::new(), resumed: 0, first_byte, total }
    }
}

impl Tally {
    /// Counts a right answer.
    pub fn received(&mut self, received: Received) {
        self.answers += 1;
        self.first_byte.saturating_record(micros(received.first_byte));
        self.total.saturating_record(micros(received.total));
    }

    /// Counts something that went wrong.
    pub fn failed(&mut self, why: &impl ToString) {
        *self.errors.entry(why.to_string()).or_default() += 1;
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.bytes += other.bytes;
        self.resumed += other.resumed;
        for (why, count) in &other.errors {
            *self.errors.entry(why.clone()).or_default() += count;
        }
        self.first_byte += &other.first_byte;
        self.total += &other.total;
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are right")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}
