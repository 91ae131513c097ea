//! Signal handling. actix-server's own handling of SIGTERM and SIGINT would end the actors at once, before they
//! have written pending changes. SIGHUP, SIGUSR1 and SIGUSR2 end a process that does not handle them (signal(7)).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process handles. None of them ends it once this exists.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// The action that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Requested by SIGTERM and SIGINT.
    Stop,
    /// Requested by SIGHUP.
    Reload,
    /// SIGUSR1 and SIGUSR2 are received and have no effect.
    Ignore,
}

impl Signals {
    /// Installs the handlers. Must be called before the service reports that it is ready, so that no signal is
    /// lost.
    ///
    /// # Errors
    /// The operating system refuses a handler.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next signal and returns its action.
    pub(super) async fn next(&mut self) -> Action {
        tokio::select! {
            _ = self.terminate.recv() => Action::Stop,
            _ = self.interrupt.recv() => Action::Stop,
            _ = self.hangup.recv() => Action::Reload,
            _ = self.user_1.recv() => Action::Ignore,
            _ = self.user_2.recv() => Action::Ignore,
        }
    }
}
