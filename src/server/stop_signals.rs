//! SIGTERM and SIGINT, by hand: the server's own handling would end the actors with it, before they have written what waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::ServerHandle;
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

    /// Waits for one of them, says so by `stopping`, then stops the server: running transfers may finish.
    pub(super) async fn wait_and_stop(mut self, server: ServerHandle, stopping: Arc<AtomicBool>) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
        tracing::info!("stopping: running transfers may finish");
        stopping.store(true, Ordering::Relaxed);
        server.stop(true).await;
    }
}
