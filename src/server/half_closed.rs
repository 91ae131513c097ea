//! A client that has closed its sending side. It may still wait for its responses (RFC 9293, section 3.6), or be gone: both send the same. That
//! it is gone shows as a reset once something is sent to it; where nothing can be sent for a while, it counts as gone, too.

use std::io;
use std::task::Context;
use std::time::Duration;

use tokio::net::TcpStream;

use super::patience::Patience;

/// What is known of such a client.
pub(super) struct HalfClosed {
    /// While nothing is sent in the middle of a response.
    silent: Patience,
    /// Until it is looked for a reset, of which nobody is woken who does not read.
    look: Patience,
}

/// In the middle of a response the client is kept so long while there is nothing to send, as where upstream stalls.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Default for HalfClosed {
    fn default() -> Self {
        Self { silent: Patience::new(SILENCE_TIMEOUT), look: Patience::new(LOOK_INTERVAL) }
    }
}

impl HalfClosed {
    /// Something was sent.
    pub(super) fn sent(&mut self) {
        self.silent.end();
    }

    /// An error where the client is gone; else the task is woken when it is to be called again. `waits` tells that nothing is sent because
    /// the response has not begun, or because the client takes nothing: both have times of their own.
    pub(super) fn check(&mut self, cx: &mut Context<'_>, tcp: &TcpStream, waits: bool) -> io::Result<()> {
        self.look.begin();
        if self.look.check(cx).is_err() {
            if let Some(error) = tcp.take_error()? {
                return Err(error);
            }
            self.look.end();
            self.look.begin();
            self.look.check(cx)?;
        }
        if waits {
            self.silent.end();
            return Ok(());
        }
        self.silent.begin();
        self.silent.check(cx)
    }
}
