//! The worker threads that serve clients. Each accepts connections from a listener of its own, among which the
//! kernel distributes them. It hands a connection to another thread only if that one has fewer, so that long
//! connections are spread evenly. Knows neither HTTP nor TLS.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_rt::Arbiter;
use futures::future::LocalBoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::addresses::{Addresses, Counted};
use super::churn::{Churn, MAX_BRIEF_LIFETIME};
use super::idlers::Idlers;
use crate::actors::admission::refused;

/// The worker threads, which serve until they are stopped.
pub(in crate::server) struct Workers {
    arbiters: Vec<Arbiter>,
    stop: watch::Sender<bool>,
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
}

/// Serves one connection to its end. Created on the thread that uses it.
pub(in crate::server) type Serve = Box<dyn Fn(TcpStream, SocketAddr) -> LocalBoxFuture<'static, ()>>;

/// Load of one worker thread, visible to the others.
struct WorkerLoad {
    /// Number of connections that it serves.
    serving: AtomicUsize,
    /// Number of brief connections that it has served since the start.
    brief: AtomicUsize,
    hand_over: UnboundedSender<(StdStream, ActiveConnection)>,
}

/// A connection that a worker serves, or is about to serve. It counts until it is dropped.
struct ActiveConnection {
    loads: Arc<[WorkerLoad]>,
    at: usize,
    peer: SocketAddr,
    since: Instant,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// An accepted connection, which is served once there is a permit for it.
struct Accepted {
    tcp: TcpStream,
    peer: SocketAddr,
    counted: Counted,
}

/// A connection is handed over if another thread has fewer connections by more than this.
const SLACK: usize = 2;
/// The same during connection churn: handing a connection over costs more than a short request, and threads accept
/// several at once.
const SLACK_DURING_CHURN: usize = 64;
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
    let (loads, receivers): (Vec<_>, Vec<_>) = listeners.iter().map(|_| WorkerLoad::new()).unzip();
    let loads: Arc<[WorkerLoad]> = loads.into();
    let mut arbiters = Vec::new();
    for (at, (listener, handed_over)) in listeners.into_iter().zip(receivers).enumerate() {
        listener.set_nonblocking(true)?;
        let workers = loads.len();
        let arbiter = Arbiter::with_tokio_rt(move || runtime(workers));
        let (stopping, make) = (Stopping(stopping.clone()), make.clone());
        let (loads, permits, full) = (loads.clone(), permits.clone(), full.clone());
        let (addresses, warned) = (bounds.addresses.clone(), warned.clone());
        arbiter.spawn_fn(move || {
            let serving = async move {
                let thread = Thread { stopping, idlers: Idlers::default() };
                let serve = make(thread.clone()).await;
                let churn = Cell::default();
                let worker = Worker { at, loads, permits, addresses, full, warned, thread, churn, serve };
                if let Err(error) = worker.run(listener, handed_over).await {
                    die(&error);
                }
            };
            let serving = actix_rt::spawn(serving);
            // If the task panics, the process must end. Otherwise the port would stay open with nothing behind it.
            actix_rt::spawn(async move { serving.await.unwrap_or_else(|panic| die(&panic)) });
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

impl WorkerLoad {
    fn new() -> (Self, UnboundedReceiver<(StdStream, ActiveConnection)>) {
        let (hand_over, handed_over) = unbounded_channel();
        (Self { serving: AtomicUsize::new(0), brief: AtomicUsize::new(0), hand_over }, handed_over)
    }
}

struct Worker {
    at: usize,
    loads: Arc<[WorkerLoad]>,
    permits: Arc<Semaphore>,
    addresses: Addresses,
    /// Notifies all threads while a connection waits for a permit.
    full: watch::Sender<()>,
    /// Time of the last warning, of any thread, that the maximum number of connections is reached.
    warned: Arc<Mutex<Option<Instant>>>,
    thread: Thread,
    churn: Cell<Churn>,
    serve: Serve,
}

impl Worker {
    async fn run(
        self,
        listener: StdListener,
        mut handed_over: UnboundedReceiver<(StdStream, ActiveConnection)>,
    ) -> io::Result<()> {
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
                Some((tcp, served)) = handed_over.recv() => match TcpStream::from_std(tcp) {
                    Ok(tcp) => self.serve(tcp, served),
                    Err(error) => pause(&error).await,
                },
                accepted = listener.accept(), if waiting.is_none() => match accepted {
                    Ok((tcp, peer)) => waiting = self.accepted(tcp, peer),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => pause(&error).await,
                },
                Ok(permit) = self.permits.clone().acquire_owned(), if waiting.is_some() => {
                    if let Some(accepted) = waiting.take() {
                        self.serve_or_hand_over(accepted, permit);
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
            connections = self.loads.iter().map(|load| load.serving.load(Ordering::Relaxed)).sum::<usize>(),
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
            Ok(permit) => self.serve_or_hand_over(accepted, permit),
            Err(_) => return Some(accepted),
        }
        None
    }

    fn serve_or_hand_over(&self, Accepted { tcp, peer, counted }: Accepted, permit: OwnedSemaphorePermit) {
        let served = ActiveConnection::new(&self.loads, self.at, peer, (permit, counted));
        let brief = self.loads[self.at].brief.load(Ordering::Relaxed);
        self.churn.set(self.churn.get().accepted(brief, served.since));
        let Some(least_loaded) = self.least_loaded() else { return self.serve(tcp, served) };
        // If the other thread has gone, the service is stopping, and this connection is dropped like all others.
        if let Ok(tcp) = tcp.into_std() {
            let _ = self.loads[least_loaded].hand_over.send((tcp, served.handed_over_to(least_loaded)));
        }
    }

    /// Returns the worker with the fewest connections, if handing a connection over to it is worth the cost.
    fn least_loaded(&self) -> Option<usize> {
        let serving = |at: usize| self.loads[at].serving.load(Ordering::Relaxed);
        let least = (0..self.loads.len()).min_by_key(|at| serving(*at))?;
        let slack = if self.churn.get().churns() { SLACK_DURING_CHURN } else { SLACK };
        (serving(self.at) > serving(least) + slack).then_some(least)
    }

    fn serve(&self, tcp: TcpStream, served: ActiveConnection) {
        let serving = (self.serve)(tcp, served.peer);
        actix_rt::spawn(async move {
            serving.await;
            drop(served);
        });
    }
}

impl ActiveConnection {
    fn new(
        loads: &Arc<[WorkerLoad]>,
        at: usize,
        peer: SocketAddr,
        (permit, counted): (OwnedSemaphorePermit, Counted),
    ) -> Self {
        loads[at].serving.fetch_add(1, Ordering::Relaxed);
        Self { loads: loads.clone(), at, peer, since: Instant::now(), _permit: permit, _counted: counted }
    }

    fn handed_over_to(mut self, at: usize) -> Self {
        self.loads[at].serving.fetch_add(1, Ordering::Relaxed);
        self.loads[self.at].serving.fetch_sub(1, Ordering::Relaxed);
        self.at = at;
        self
    }
}

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        self.loads[self.at].serving.fetch_sub(1, Ordering::Relaxed);
        if self.since.elapsed() <= MAX_BRIEF_LIFETIME {
            self.loads[self.at].brief.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns whether the error concerns only the connection that was to be accepted (accept(2), "Error handling").
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
