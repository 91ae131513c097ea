//! Counters of a thread of the load generator.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::connection::Received;

/// Counters and latencies. The latter are in microseconds, with three significant digits, up to ten minutes.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Number of correct and complete responses.
    pub answers: u64,
    /// Number of received bytes, heads included, also those of responses that were aborted at the end.
    pub bytes: u64,
    /// Numbers of errors by their texts.
    pub errors: BTreeMap<String, u64>,
    /// Number of resumed TLS sessions.
    pub resumed: u64,
    /// Time to the first byte of each response; with a connection per request it includes the connect.
    pub first_byte: Histogram<u64>,
    /// Time to the last byte.
    pub total: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let (first_byte, total) = (histogram(), histogram());
        Self { answers: 0, bytes: 0, errors: BTreeMap::new(), resumed: 0, first_byte, total }
    }
}

impl Tally {
    /// Counts a correct response.
    pub fn received(&mut self, received: Received) {
        self.answers += 1;
        self.first_byte.saturating_record(micros(received.first_byte));
        self.total.saturating_record(micros(received.total));
    }

    /// Counts an error.
    pub fn failed(&mut self, why: &impl ToString) {
        *self.errors.entry(why.to_string()).or_default() += 1;
    }

    /// Adds the counters of another thread.
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
