//! How long a client may acknowledge nothing of what was sent to it. A socket is writable again only once a third of its send buffer is
//! free, which may be megabytes; but it takes bytes as soon as the client has acknowledged some. So progress is looked for by trying to
//! send, now and then, without waiting until the socket is writable. (`TCP_USER_TIMEOUT` does not serve: it also ends connections on which
//! a small window opens and closes, and Rust has no safe way to `TCP_INFO`.)
//!
//! A client whose receive buffer is full acknowledges nothing until a sixteenth of it is free (`__tcp_select_window` in
//! Linux), which may take a slow reader minutes where the buffer has megabytes. How large it is shows in what the
//! client took at a time, so that it is waited for longer.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::patience::Patience;

/// The wait for a client that takes no more bytes.
pub(super) struct Blocked {
    limit: Duration,
    since: Option<Instant>,
    /// Until it is tried again.
    retry: Patience,
    /// Bytes that were sent since the client was last waited for, and the most there were so between two waits.
    burst: u64,
    longest_burst: u64,
}

/// So many times it is tried within the limit.
const TRIES: u32 = 8;
/// A shorter wait is none of a slow reader, but the pace of the network.
const MIN_STALL: Duration = Duration::from_secs(1);
/// Part of its receive buffer that a client frees before it acknowledges anything, with a margin: one in this number.
const WINDOW_PART: u64 = 16;
/// Bytes per second that a client reads at least.
const MIN_RATE: u64 = 1000;
/// Maximum wait for a client with a large receive buffer, unless the configured time is longer.
const MAX_WAIT: Duration = Duration::from_secs(600);

impl Blocked {
    /// The client may acknowledge nothing for so long.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, retry: Patience::new(limit / TRIES), burst: 0, longest_burst: 0 }
    }

    /// The client has acknowledged something, so that this number of bytes could be sent.
    pub(super) fn sent(&mut self, bytes: u64) {
        if let Some(since) = self.since.take() {
            if since.elapsed() >= MIN_STALL.min(self.limit / 2) {
                self.longest_burst = self.longest_burst.max(self.burst);
                self.burst = 0;
            }
            self.retry.end();
        }
        self.burst += bytes;
    }

    /// How long the client is waited for at present, where this number of bytes may not be acknowledged yet.
    fn wait(&self, unacknowledged: u64) -> Duration {
        wait_for_window(self.limit, self.longest_burst.max(self.burst).saturating_sub(unacknowledged))
    }

    /// Whether the client is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// To be called where the socket is not writable. Sends with `send` if it is time to try; an error once that has
    /// failed for too long. `send_buffer` gives the number of bytes that may not be acknowledged. Where it is pending the
    /// task is woken when it is time again. Always called by one task.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        send_buffer: impl FnOnce() -> u64,
        send: impl FnOnce() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.retry.begin();
        if self.retry.check(cx).is_ok() {
            return Poll::Pending;
        }
        match send() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            sent => return Poll::Ready(sent),
        }
        if since.elapsed() >= self.wait(send_buffer()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.retry.end();
        self.retry.begin();
        // It has just begun, so that this only arranges to be woken.
        self.retry.check(cx)?;
        Poll::Pending
    }
}

/// How long a client is waited for that took this number of bytes at a time: the configured time, or longer where it
/// reads slowly what it has before it takes more.
fn wait_for_window(limit: Duration, window: u64) -> Duration {
    limit.max(Duration::from_secs(window / WINDOW_PART / MIN_RATE).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_a_large_receive_buffer_is_waited_for_longer_but_not_for_ever() {
        let limit = Duration::from_secs(60);
        for (window, seconds) in [(0, 60), (500_000, 60), (1_600_000, 100), (6_291_456, 393), (u64::MAX, 600)] {
            assert_eq!(wait_for_window(limit, window).as_secs(), seconds, "{window} bytes");
        }
        assert_eq!(wait_for_window(2 * MAX_WAIT, u64::MAX), 2 * MAX_WAIT);
    }
}
