//! How long a client may acknowledge nothing of what was sent to it. A socket is writable again only once a third of its send buffer is
//! free, which may be megabytes; but it takes bytes as soon as the client has acknowledged some. So progress is looked for by trying to
//! send, now and then, without waiting until the socket is writable. (`TCP_USER_TIMEOUT` does not serve: it also ends connections on which
//! a small window opens and closes, and Rust has no safe way to `TCP_INFO`.)

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
}

/// So many times it is tried within the limit.
const TRIES: u32 = 8;

impl Blocked {
    /// The client may acknowledge nothing for so long.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, retry: Patience::new(limit / TRIES) }
    }

    /// The client has acknowledged something.
    pub(super) fn end(&mut self) {
        self.since = None;
        self.retry.end();
    }

    /// Whether the client is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// To be called where the socket is not writable. Sends with `send` if it is time to try; an error once that has failed for too long.
    /// Where it is pending the task is woken when it is time again. Always called by one task.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        send: impl FnOnce() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.retry.begin();
        if self.retry.check(cx).is_ok() {
            return Poll::Pending;
        }
        match send() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            sent => {
                self.end();
                return Poll::Ready(sent);
            }
        }
        if since.elapsed() >= self.limit {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.retry.end();
        self.retry.begin();
        // It has just begun, so that this only arranges to be woken.
        self.retry.check(cx)?;
        Poll::Pending
    }
}
