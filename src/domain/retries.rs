//! Retries of requests to upstreams: how many there are, and the pauses before them. Only `GET` and `HEAD` requests are
//! sent to upstreams, so that each may be repeated. Draws no random numbers: callers pass them in.
//!
//! | what is repeated | how often | pause |
//! |---|---|---|
//! | a request on a connection that ended before the response began | once, on a new connection | none |
//! | a short request that a gateway refused (502 to 504) | once | 300 ms |
//! | the rest of a download that broke off ([`Retries`]) | while it makes progress, else 4 times | 100 ms, doubling up to 5 s, or `Retry-After` up to 15 s |
//!
//! Pauses are lengthened at random ([`jittered`]), so that downloads and replicas that failed together do not return
//! together.

use std::time::Duration;

/// Maximum number of consecutive requests of a download without new bytes; after the last of them it fails.
pub const MAX_FRUITLESS_REQUESTS: u32 = 5;

/// Number of interrupted requests that every download may have, beside one for each [`BYTES_PER_INTERRUPTION`]: a
/// registry that sends some bytes at each request does not keep a download alive for ever.
const MAX_INTERRUPTIONS: u64 = 100;

/// Number of received bytes for which a download may be interrupted once more.
const BYTES_PER_INTERRUPTION: u64 = 64 << 10;

/// Maximum by which a pause is lengthened at random.
const MAX_JITTER: Duration = Duration::from_secs(2);

/// The interrupted requests of one download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Number of requests in a row that brought no bytes.
    fruitless: u32,
    interruptions: u64,
}

impl Retries {
    /// Records that bytes have arrived.
    pub fn progressed(&mut self) {
        self.fruitless = 0;
    }

    /// Records that a request failed or its response broke off, after this number of bytes in all. Returns the pause
    /// before the next request, without jitter: 100 ms, doubling up to 5 s while no bytes arrive. `None`: there were
    /// too many.
    pub fn interrupted(&mut self, received: u64) -> Option<Duration> {
        self.fruitless = self.fruitless.saturating_add(1);
        self.interruptions = self.interruptions.saturating_add(1);
        let is_spent = self.interruptions > MAX_INTERRUPTIONS + received / BYTES_PER_INTERRUPTION;
        (self.fruitless < MAX_FRUITLESS_REQUESTS && !is_spent).then(|| pause_before(self.fruitless))
    }
}

/// Returns the pause, lengthened by up to a half of it, at most 2 s. `random` is a number of uniform distribution.
pub fn jittered(pause: Duration, random: u32) -> Duration {
    let most = (pause / 2).min(MAX_JITTER);
    pause + most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

fn pause_before(fruitless: u32) -> Duration {
    Duration::from_millis(100 << fruitless.clamp(1, 7).saturating_sub(1)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_while_nothing_arrives_and_end() {
        let mut retries = Retries::default();
        let pauses: Vec<_> = std::iter::from_fn(|| retries.interrupted(0)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
        retries.progressed();
        assert_eq!(retries.interrupted(0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_download_of_some_bytes_at_each_request_ends_and_a_long_one_goes_on() {
        let requests = |bytes_each: u64| {
            let (mut retries, mut received) = (Retries::default(), 0);
            let mut interrupt = || {
                retries.progressed();
                received += bytes_each;
                retries.interrupted(received)
            };
            (0..10_000).take_while(|_| interrupt().is_some()).count()
        };
        assert_eq!(requests(1), 100);
        assert_eq!(requests(BYTES_PER_INTERRUPTION), 10_000);
    }

    proptest! {
        #[test]
        fn jitter_never_shortens_a_pause_and_is_bounded(milliseconds in 0..100_000_u64, random: u32) {
            let pause = Duration::from_millis(milliseconds);
            let longer = jittered(pause, random);
            prop_assert!(pause <= longer && longer <= pause + MAX_JITTER && longer <= pause * 3 / 2);
        }
    }
}
