//! The threads that serve clients. Each accepts connections for itself, as the system shares them out, and gives one to another
//! thread only where that one has fewer, so that connections that stay are spread evenly. Knows neither HTTP nor TLS.

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
use super::idlers::Idlers;
use super::turnover::{BRIEF, Turnover};
use crate::actors::places::refused;

/// The threads, which serve until they are stopped.
pub(super) struct Workers {
    arbiters: Vec<Arbiter>,
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
    /// How many places there are.
    all: u32,
    stop_within: Duration,
}

/// How much is served.
#[derive(Clone)]
pub(super) struct Bounds {
    /// So many connections at once on all of them; more wait, one of them at each thread accepted, and those that want nothing are ended.
    pub(super) connections: usize,
    /// What each address may have of them; a connection beyond it is closed at once.
    pub(super) addresses: Addresses,
    /// Connections may take so long to finish once the service was told to stop.
    pub(super) stop_within: Duration,
}

/// Tells when the service was told to stop.
#[derive(Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

/// What serves on one thread knows of it.
#[derive(Clone)]
pub(super) struct Thread {
    /// When it is to stop.
    pub(super) stopping: Stopping,
    /// Its connections that want nothing.
    pub(super) idlers: Idlers,
}

/// Serves one connection to its end. Made on the thread that it is used on.
pub(super) type Serve = Box<dyn Fn(TcpStream, SocketAddr) -> LocalBoxFuture<'static, ()>>;

/// One thread, as the others see it.
struct Desk {
    /// How many connections it serves.
    serving: AtomicUsize,
    /// How many that were brief it has served.
    brief: AtomicUsize,
    give: UnboundedSender<(StdStream, Served)>,
}

/// A connection that is served, or about to be, at this desk; counted until it is dropped.
struct Served {
    desks: Arc<[Desk]>,
    at: usize,
    peer: SocketAddr,
    since: Instant,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

/// A connection that may be served once there is a place for it.
struct Accepted {
    tcp: TcpStream,
    peer: SocketAddr,
    counted: Counted,
}

/// A connection is given away where another thread has fewer by more than this.
const SLACK: usize = 2;
/// The same while connections are brief: to give one away costs more than a short request, and threads take several at once.
const SLACK_WHILE_QUICK: usize = 64;
/// As actix-server has them: for what may block.
const BLOCKING_THREADS: usize = 512;
/// After a failure that the next attempt would have, too, such as that no file may be opened.
const PAUSE: Duration = Duration::from_millis(500);
/// Connections that want nothing are ended so often, some at a time, while another waits for a place.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(250);

/// The log says so often at most that all places are taken.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Serves the connections of these listeners, each on a thread of its own, with what `make` makes there. To be called within an
/// actix system.
pub(super) fn start<M, F>(listeners: Vec<StdListener>, bounds: Bounds, make: M) -> io::Result<Workers>
where
    M: Fn(Thread) -> F + Clone + Send + 'static,
    F: Future<Output = Serve> + 'static,
{
    let (stop, stopping) = watch::channel(false);
    let crowded = watch::Sender::new(());
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    let places = Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
    let warned = Arc::<Mutex<Option<Instant>>>::default();
    let (desks, receivers): (Vec<_>, Vec<_>) = listeners.iter().map(|_| Desk::new()).unzip();
    let desks: Arc<[Desk]> = desks.into();
    let mut arbiters = Vec::new();
    for (at, (listener, given)) in listeners.into_iter().zip(receivers).enumerate() {
        listener.set_nonblocking(true)?;
        let workers = desks.len();
        let arbiter = Arbiter::with_tokio_rt(move || runtime(workers));
        let (stopping, make) = (Stopping(stopping.clone()), make.clone());
        let (desks, places, crowded) = (desks.clone(), places.clone(), crowded.clone());
        let (addresses, warned) = (bounds.addresses.clone(), warned.clone());
        arbiter.spawn_fn(move || {
            let serving = async move {
                let thread = Thread { stopping, idlers: Idlers::default() };
                let serve = make(thread.clone()).await;
                let turnover = Cell::default();
                let worker = Worker { at, desks, places, addresses, crowded, warned, thread, turnover, serve };
                if let Err(error) = worker.run(listener, given).await {
                    die(&error);
                }
            };
            let serving = actix_rt::spawn(serving);
            // Else the port would stay open with nobody behind it.
            actix_rt::spawn(async move { serving.await.unwrap_or_else(|panic| die(&panic)) });
        });
        arbiters.push(arbiter);
    }
    Ok(Workers { arbiters, stop, places, all, stop_within: bounds.stop_within })
}

/// `Arbiter` takes no error.
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
    /// Accepts no more, and ends once all connections have, or have had their time.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(self.stop_within, self.places.acquire_many(self.all)).await.is_err() {
            tracing::warn!("transfers that took too long were cut off");
        }
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

impl Stopping {
    /// Ends once the service was told to stop.
    pub(super) async fn told(mut self) {
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}

impl Desk {
    fn new() -> (Self, UnboundedReceiver<(StdStream, Served)>) {
        let (give, given) = unbounded_channel();
        (Self { serving: AtomicUsize::new(0), brief: AtomicUsize::new(0), give }, given)
    }
}

struct Worker {
    at: usize,
    desks: Arc<[Desk]>,
    places: Arc<Semaphore>,
    addresses: Addresses,
    /// Told to all threads while a connection waits for a place.
    crowded: watch::Sender<()>,
    /// When the log said last, for any thread, that all places are taken.
    warned: Arc<Mutex<Option<Instant>>>,
    thread: Thread,
    turnover: Cell<Turnover>,
    serve: Serve,
}

impl Worker {
    async fn run(self, listener: StdListener, mut given: UnboundedReceiver<(StdStream, Served)>) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut stopping = std::pin::pin!(self.thread.stopping.clone().told());
        // Accepted, and there was no place for it.
        let mut waiting = None;
        let mut crowded = self.crowded.subscribe();
        let mut make_room = interval(MAKE_ROOM_EVERY);
        make_room.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopping => return Ok(()),
                Some((tcp, served)) = given.recv() => match TcpStream::from_std(tcp) {
                    Ok(tcp) => self.serve(tcp, served),
                    Err(error) => pause(&error).await,
                },
                accepted = listener.accept(), if waiting.is_none() => match accepted {
                    Ok((tcp, peer)) => waiting = self.accepted(tcp, peer),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => pause(&error).await,
                },
                Ok(place) = self.places.clone().acquire_owned(), if waiting.is_some() => {
                    if let Some(accepted) = waiting.take() {
                        self.serve_or_give(accepted, place);
                    }
                }
                _ = make_room.tick(), if waiting.is_some() => {
                    self.crowded.send_replace(());
                    self.warn();
                }
                Ok(()) = crowded.changed() => {
                    let ended = self.thread.idlers.end_some();
                    tracing::debug!(ended, "all places are taken, so connections that want nothing are ended");
                }
            }
        }
    }

    /// Says in the log, now and then, that all places are taken.
    fn warn(&self) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| at.elapsed() < WARN_INTERVAL) {
            return;
        }
        *warned = Some(Instant::now());
        drop(warned);
        tracing::warn!(
            connections = self.desks.iter().map(|desk| desk.serving.load(Ordering::Relaxed)).sum::<usize>(),
            addresses = self.addresses.number(),
            "all places for connections are taken, so those that request nothing, or do not finish a request, are ended"
        );
    }

    /// Serves a connection, unless its address has its share. Returned where there is no place for it.
    fn accepted(&self, tcp: TcpStream, peer: SocketAddr) -> Option<Accepted> {
        let Some(counted) = self.addresses.enter(peer.ip()) else {
            refused("connections");
            tracing::debug!(%peer, "a connection was closed, because its address has all that it may");
            return None;
        };
        let accepted = Accepted { tcp, peer, counted };
        match self.places.clone().try_acquire_owned() {
            Ok(place) => self.serve_or_give(accepted, place),
            Err(_) => return Some(accepted),
        }
        None
    }

    fn serve_or_give(&self, Accepted { tcp, peer, counted }: Accepted, place: OwnedSemaphorePermit) {
        let served = Served::new(&self.desks, self.at, peer, (place, counted));
        let brief = self.desks[self.at].brief.load(Ordering::Relaxed);
        self.turnover.set(self.turnover.get().accepted(brief, served.since));
        let Some(idler) = self.idler() else { return self.serve(tcp, served) };
        // Who is not there any more is about to stop, as this one is.
        if let Ok(tcp) = tcp.into_std() {
            let _stopping = self.desks[idler].give.send((tcp, served.moved_to(idler)));
        }
    }

    /// The desk with the fewest connections, if it has so many fewer than this one that giving is worth it.
    fn idler(&self) -> Option<usize> {
        let serving = |at: usize| self.desks[at].serving.load(Ordering::Relaxed);
        let least = (0..self.desks.len()).min_by_key(|at| serving(*at))?;
        let slack = if self.turnover.get().is_quick() { SLACK_WHILE_QUICK } else { SLACK };
        (serving(self.at) > serving(least) + slack).then_some(least)
    }

    fn serve(&self, tcp: TcpStream, served: Served) {
        let serving = (self.serve)(tcp, served.peer);
        actix_rt::spawn(async move {
            serving.await;
            drop(served);
        });
    }
}

impl Served {
    fn new(
        desks: &Arc<[Desk]>,
        at: usize,
        peer: SocketAddr,
        (place, counted): (OwnedSemaphorePermit, Counted),
    ) -> Self {
        desks[at].serving.fetch_add(1, Ordering::Relaxed);
        Self { desks: desks.clone(), at, peer, since: Instant::now(), _place: place, _counted: counted }
    }

    fn moved_to(mut self, at: usize) -> Self {
        self.desks[at].serving.fetch_add(1, Ordering::Relaxed);
        self.desks[self.at].serving.fetch_sub(1, Ordering::Relaxed);
        self.at = at;
        self
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.desks[self.at].serving.fetch_sub(1, Ordering::Relaxed);
        if self.since.elapsed() <= BRIEF {
            self.desks[self.at].brief.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the failure is over with the connection that it befell (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(PAUSE).await;
}

#[cfg(test)]
mod tests;
