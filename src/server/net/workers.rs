//! The worker threads that serve clients. Each accepts connections from a listener of its own, among which the
//! kernel distributes them (socket(7), `SO_REUSEPORT`). Knows neither HTTP nor TLS.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_rt::Arbiter;
use futures::future::LocalBoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::addresses::{Addresses, Counted};
use super::idlers::Idlers;
use super::turns::Turns;
use crate::actors::admission::refused;

/// The worker threads, which serve until they are stopped.
pub(in crate::server) struct Workers {
    arbiters: Vec<Arbiter>,
    stop: watch::Sender<bool>,
    /// One permit for each connection. No admission limit: a connection without a permit waits, in the listen queue of
    /// the kernel, and idle ones are closed for it. Those of an address beyond its maximum are refused before.
    permits: Arc<Semaphore>,
    /// Maximum number of open connections: the permits that there are.
    max_connections: u32,
    stop_timeout: Duration,
}

/// Limits on the connections.
#[derive(Clone)]
pub(in crate::server) struct Bounds {
    /// Maximum number of open connections over all workers. Further ones wait in the listen queue, apart from one
    /// that each worker has accepted already. While they wait, idle connections are closed.
    pub(in crate::server) connections: usize,
    /// Limit for each client address. A connection beyond it is closed at once.
    pub(in crate::server) addresses: Addresses,
    /// Maximum time for connections to finish once the service is stopping.
    pub(in crate::server) stop_timeout: Duration,
}

/// Notification that the service is stopping.
#[derive(Clone)]
pub(in crate::server) struct Stopping(watch::Receiver<bool>);

/// State of one worker thread that the code which serves its connections uses.
#[derive(Clone)]
pub(in crate::server) struct Thread {
    /// Notification that the thread is to stop.
    pub(in crate::server) stopping: Stopping,
    /// Its idle connections.
    pub(in crate::server) idlers: Idlers,
    /// The turns of its connections.
    pub(in crate::server) turns: Turns,
}

/// Serves one connection to its end. Created on the thread that uses it.
pub(in crate::server) type Serve = Box<dyn Fn(TcpStream, SocketAddr) -> LocalBoxFuture<'static, ()>>;

/// A connection that is being served. It counts until it is dropped.
struct ActiveConnection {
    /// Number of connections that all workers serve.
    serving: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// An accepted connection, which is served once there is a permit for it.
struct Accepted {
    tcp: TcpStream,
    peer: SocketAddr,
    counted: Counted,
}

/// Maximum number of threads for blocking work, over all workers. The same as actix-server's default.
const BLOCKING_THREADS: usize = 512;
/// Pause after an error that the next attempt would meet, too, for example when no more files may be opened.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(500);
/// Interval of closing some of the idle connections while a connection waits for a permit.
const CLOSE_IDLE_INTERVAL: Duration = Duration::from_millis(250);

/// Minimum time between two warnings that the maximum number of connections is reached.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Serves the connections of these listeners, each on a thread of its own, with the function that `make` creates
/// there. Must be called within an actix system.
///
/// # Errors
/// A listener cannot be made non-blocking.
pub(in crate::server) fn start<M, F>(listeners: Vec<StdListener>, bounds: Bounds, make: M) -> io::Result<Workers>
where
    M: Fn(Thread) -> F + Clone + Send + 'static,
    F: Future<Output = Serve> + 'static,
{
    let (stop, stopping) = watch::channel(false);
    let full = watch::Sender::new(());
    let max_connections = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    let permits =
        Arc::new(Semaphore::new(usize::try_from(max_connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
    let warned = Arc::<Mutex<Option<Instant>>>::default();
    let serving = Arc::<AtomicUsize>::default();
    let (workers, mut arbiters) = (listeners.len(), Vec::new());
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let arbiter = Arbiter::with_tokio_rt(move || runtime(workers));
        let (stopping, make) = (Stopping(stopping.clone()), make.clone());
        let (serving, permits, full) = (serving.clone(), permits.clone(), full.clone());
        let (addresses, warned) = (bounds.addresses.clone(), warned.clone());
        arbiter.spawn_fn(move || {
            let running = async move {
                let thread = Thread { stopping, idlers: Idlers::default(), turns: Turns::default() };
                let serve = make(thread.clone()).await;
                let worker = Worker { serving, permits, addresses, full, warned, thread, serve };
                if let Err(error) = worker.run(listener).await {
                    die(&error);
                }
            };
            let running = actix_rt::spawn(running);
            // If the task panics, the process must end. Otherwise the port would stay open with nothing behind it.
            actix_rt::spawn(async move { running.await.unwrap_or_else(|panic| die(&panic)) });
        });
        arbiters.push(arbiter);
    }
    Ok(Workers { arbiters, stop, permits, max_connections, stop_timeout: bounds.stop_timeout })
}

/// Builds the runtime of one thread. `Arbiter` does not accept an error, so a failure panics.
#[expect(clippy::expect_used, reason = "without its threads the service cannot start")]
fn runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(BLOCKING_THREADS.div_ceil(workers));
    runtime.build().expect("a thread can be started")
}

fn die(error: &dyn std::fmt::Display) {
    tracing::error!(%error, "a thread that serves clients failed, so the process ends");
    crate::telemetry::finish_log();
    std::process::abort();
}

impl Workers {
    /// Stops accepting, and returns once all connections have ended, at the latest after the configured time.
    pub(in crate::server) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(self.stop_timeout, self.permits.acquire_many(self.max_connections)).await.is_err() {
            tracing::warn!("transfers that took too long were cut off");
        }
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

impl Stopping {
    /// Returns once the service is stopping.
    pub(in crate::server) async fn requested(mut self) {
        // An error means that the sender is gone, which also stops the service.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

struct Worker {
    /// Number of connections that all workers serve.
    serving: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    addresses: Addresses,
    /// Notifies all threads while a connection waits for a permit.
    full: watch::Sender<()>,
    /// Time of the last warning, of any thread, that the maximum number of connections is reached.
    warned: Arc<Mutex<Option<Instant>>>,
    thread: Thread,
    serve: Serve,
}

impl Worker {
    async fn run(self, listener: StdListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut stopping = std::pin::pin!(self.thread.stopping.clone().requested());
        // A connection that was accepted and found no permit.
        let mut waiting = None;
        let mut full = self.full.subscribe();
        let mut close_idle = interval(CLOSE_IDLE_INTERVAL);
        close_idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopping => return Ok(()),
                accepted = listener.accept(), if waiting.is_none() => match accepted {
                    Ok((tcp, peer)) => waiting = self.accepted(tcp, peer),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => pause(&error).await,
                },
                Ok(permit) = self.permits.clone().acquire_owned(), if waiting.is_some() => {
                    if let Some(accepted) = waiting.take() {
                        self.serve(accepted, permit);
                    }
                }
                _ = close_idle.tick(), if waiting.is_some() => {
                    self.full.send_replace(());
                    self.warn();
                }
                Ok(()) = full.changed() => {
                    let ended = self.thread.idlers.close_some();
                    tracing::debug!(ended, "the maximum number of connections is reached, so idle ones are closed");
                }
            }
        }
    }

    /// Warns, at most once per [`WARN_INTERVAL`], that the maximum number of connections is reached.
    fn warn(&self) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| at.elapsed() < WARN_INTERVAL) {
            return;
        }
        *warned = Some(Instant::now());
        drop(warned);
        tracing::warn!(
            connections = self.serving.load(Ordering::Relaxed),
            addresses = self.addresses.number(),
            "the maximum number of connections is reached (max_connections in [server]), so those that are idle, or do not finish \
             a request, are closed"
        );
    }

    /// Serves a connection, unless its address has reached its maximum. Returns it if there is no permit.
    fn accepted(&self, tcp: TcpStream, peer: SocketAddr) -> Option<Accepted> {
        let Some(counted) = self.addresses.enter(peer.ip()) else {
            refused("connections");
            tracing::debug!(%peer, "a connection was closed, because its address has reached its maximum");
            return None;
        };
        let accepted = Accepted { tcp, peer, counted };
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => self.serve(accepted, permit),
            Err(_) => return Some(accepted),
        }
        None
    }

    fn serve(&self, Accepted { tcp, peer, counted }: Accepted, permit: OwnedSemaphorePermit) {
        let active = ActiveConnection::new(&self.serving, permit, counted);
        let serving = (self.serve)(tcp, peer);
        actix_rt::spawn(async move {
            serving.await;
            drop(active);
        });
    }
}

impl ActiveConnection {
    fn new(serving: &Arc<AtomicUsize>, permit: OwnedSemaphorePermit, counted: Counted) -> Self {
        serving.fetch_add(1, Ordering::Relaxed);
        Self { serving: serving.clone(), _permit: permit, _counted: counted }
    }
}

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        self.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns true if the error concerns only the connection that was to be accepted (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
}

#[cfg(test)]
mod tests;
