//! A client that has closed its sending side. It may still wait for its responses (RFC 9293, section 3.6), or be
//! gone; both send the same FIN. If it is gone, it responds with a reset to what is sent. If nothing can be sent
//! for a while, it counts as gone, too.

use std::io;
use std::task::Context;
use std::time::Duration;

use tokio::net::TcpStream;

use super::deadline::Deadline;

/// State of such a client.
pub(super) struct HalfClosed {
    /// Limits the time without sending anything in the middle of a response.
    silence: Deadline,
    /// Interval of looking for a reset. The operating system reports it only to tasks that read.
    reset_check: Deadline,
}

/// Maximum time for which the client is kept in the middle of a response while there is nothing to send, for
/// example because upstream stalls.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of looking for a reset.
const RESET_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Default for HalfClosed {
    fn default() -> Self {
        Self { silence: Deadline::new(SILENCE_TIMEOUT), reset_check: Deadline::new(RESET_CHECK_INTERVAL) }
    }
}

impl HalfClosed {
    /// Records that bytes were sent.
    pub(super) fn sent(&mut self) {
        self.silence.end();
    }

    /// Checks whether the client is gone, and wakes the task when the next check is due. `waits` is true if nothing
    /// is sent because the response has not begun, or because the client acknowledges nothing; both have timeouts
    /// of their own.
    ///
    /// # Errors
    /// The client has reset the connection, or nothing could be sent for too long.
    pub(super) fn check(&mut self, cx: &mut Context<'_>, tcp: &TcpStream, waits: bool) -> io::Result<()> {
        self.reset_check.begin();
        if self.reset_check.check(cx).is_err() {
            if let Some(error) = tcp.take_error()? {
                return Err(error);
            }
            self.reset_check.end();
            self.reset_check.begin();
            self.reset_check.check(cx)?;
        }
        if waits {
            self.silence.end();
            return Ok(());
        }
        self.silence.begin();
        self.silence.check(cx)
    }
}
