//! Timeout for a client that acknowledges none of the bytes that were sent to it. A socket becomes writable only
//! when a third of its send buffer is free, which may be megabytes, but it accepts bytes as soon as the client has
//! acknowledged some. So progress is detected by trying to send at intervals, without waiting until the socket is
//! writable. (`TCP_USER_TIMEOUT` is not suitable: it also ends connections on which a small window opens and
//! closes. Rust has no safe access to `TCP_INFO`.)
//!
//! A client whose receive buffer is full acknowledges nothing until a sixteenth of it is free
//! (`__tcp_select_window` in Linux). With a buffer of megabytes, that may take a slow reader minutes. The buffer's
//! size shows in the number of bytes that the client accepted at a time, and the timeout grows with it.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Deadline;

/// The wait for a client that accepts no more bytes.
pub(super) struct Blocked {
    limit: Duration,
    since: Option<Instant>,
    /// Time until the next attempt to send.
    retry: Deadline,
    /// Bytes that were sent since the last wait.
    burst: u64,
    /// Largest number of bytes that were sent between two waits.
    longest_burst: u64,
}

/// Number of attempts to send within the limit.
const ATTEMPTS_PER_LIMIT: u32 = 8;
/// Minimum length of a wait that shows a full receive buffer. Shorter ones are the pace of the network.
const MIN_STALL: Duration = Duration::from_secs(1);
/// Divisor for the part of its receive buffer that a client frees before it acknowledges anything, with a margin.
const WINDOW_DIVISOR: u64 = 16;
/// Minimum rate at which a client reads, in bytes per second.
const MIN_BYTES_PER_SECOND: u64 = 1000;
/// Maximum wait for a client with a large receive buffer, unless the configured time is longer.
const MAX_WINDOW_WAIT: Duration = Duration::from_secs(600);

impl Blocked {
    /// Creates the timeout. `limit` is the maximum time without an acknowledgement.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, retry: Deadline::new(limit / ATTEMPTS_PER_LIMIT), burst: 0, longest_burst: 0 }
    }

    /// Records that the client has acknowledged bytes, so that this number of bytes could be sent.
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

    /// Returns the maximum duration of the present wait, if this number of bytes may not be acknowledged yet.
    fn wait(&self, unacknowledged: u64) -> Duration {
        wait_for_window(self.limit, self.longest_burst.max(self.burst).saturating_sub(unacknowledged))
    }

    /// Returns true if a wait has begun.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Sends with `send`, if an attempt is due. If the result is pending, the task is woken for the next attempt.
    /// To be called when the socket is not writable, always by the same task. `send_buffer` returns the number of
    /// bytes that may not be acknowledged.
    ///
    /// # Errors
    /// `TimedOut` once all attempts have failed for too long, or the error of `send`.
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
        // The wait has just begun, so this cannot fail. It registers the task.
        self.retry.check(cx)?;
        Poll::Pending
    }
}

/// Returns the maximum wait for a client that accepts this number of bytes at a time: the configured time, or
/// longer if it first has to read that much slowly.
fn wait_for_window(limit: Duration, window: u64) -> Duration {
    limit.max(Duration::from_secs(window / WINDOW_DIVISOR / MIN_BYTES_PER_SECOND).min(MAX_WINDOW_WAIT))
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
        assert_eq!(wait_for_window(2 * MAX_WINDOW_WAIT, u64::MAX), 2 * MAX_WINDOW_WAIT);
    }
}
