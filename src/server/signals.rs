//! SIGTERM and SIGINT, by hand: the server's own handling would end the actors with it, before they have written what waits.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What tells the process to stop. From the moment it is made no such signal kills the process.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// To be called before anything is promised, such as that the service is ready.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends with the first of them.
    pub(super) async fn wait(mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}
