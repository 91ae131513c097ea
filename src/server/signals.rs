//! Signals, by hand: the server's own handling of SIGTERM and SIGINT would end the actors with it, before they have written what waits; and
//! SIGHUP, SIGUSR1 and SIGUSR2 end a process that does not handle them (signal(7)).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process handles. From the moment it is made none of them ends it.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// What a signal tells the process to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGTERM and SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1 and SIGUSR2.
    Nothing,
}

impl Signals {
    /// To be called before anything is promised, such as that the service is ready.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// What the next of them tells.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user_1.recv() => Told::Nothing,
            _ = self.user_2.recv() => Told::Nothing,
        }
    }
}
