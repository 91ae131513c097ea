//! The clients beside the measured ones, on threads of the lowest priority.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fake_registry::Image;
use rustix::process::setpriority_process;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::LARGE;
use crate::throughput::cold::crowd;
use crate::throughput::cold::pull::Pull;
use crate::throughput::contender::Running;
use crate::throughput::lab::Lab;
use crate::throughput::load::{BUFFER_BYTES, Connection, Received, Request, Target};
use crate::throughput::row::fair::Beside;

/// The highest priority of the usual scheduling policy (nice(1)).
const HIGHEST: i32 = -20;
/// Time for which the herd runs before anything is measured beside it.
const LEAD: Duration = Duration::from_millis(500);
/// Idle connections and stalled readers of [`Beside::Silent`].
const IDLE: usize = 1000;
const STALLED: usize = 100;
/// Images that are pulled in a round by each client of a cold herd, and the sizes of their layers in bytes.
const COLD_IMAGES_EACH: usize = 20;
const COLD_LAYERS: [u64; 3] = [256 << 10, 128 << 10, 16 << 10];

/// Running clients.
pub(super) struct Herd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Done>>,
}

/// Result of the clients: numbers of complete responses, or of complete pulls, and of failed requests.
pub(super) struct Done {
    responses: u64,
    errors: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the other clients: {} responses, {} errors", self.responses, self.errors)
    }
}

/// The work of the thread: to be done until the flag is set; sends once it has begun.
type Work<'a> = Box<dyn FnOnce(&AtomicBool, &mpsc::Sender<()>) -> io::Result<Done> + Send + 'a>;

impl Herd {
    /// Starts the clients. Returns once they are under way.
    pub(super) fn start(beside: Beside, server: &Running, lab: &Lab, large: &Image, round: usize) -> io::Result<Self> {
        let (target, begun) = (server.target, mpsc::channel());
        let manifest = server.request("GET", &server.manifest(LARGE.0, LARGE.1), None).expecting(large.size());
        let blob = large.layers().first().map(|layer| server.blob(LARGE.0, layer.digest())).unwrap_or_default();
        let blob = server.request("GET", &blob, None);
        let work: Work<'static> = match beside {
            Beside::Manifests(clients) => Box::new(move |stop, begun| repeat(target, clients, &manifest, stop, begun)),
            Beside::Pages(clients) => {
                let page = server.other_group().page()?;
                Box::new(move |stop, begun| repeat(target, clients, &page, stop, begun))
            }
            Beside::Blobs(clients) => Box::new(move |stop, begun| repeat(target, clients, &blob, stop, begun)),
            Beside::Silent => Box::new(move |stop, begun| keep_silent(target, &manifest, &blob, stop, begun)),
            Beside::Cold(clients) => {
                let pulls = cold_pulls(server, lab, clients, round);
                Box::new(move |stop, begun| pull_cold(clients, &pulls, stop, begun))
            }
        };
        let stop = Arc::<AtomicBool>::default();
        let stopping = stop.clone();
        let thread = std::thread::Builder::new().name("herd".to_owned()).spawn(move || {
            only_when_idle()?;
            work(&stopping, &begun.0)
        })?;
        begun.1.recv().map_err(|_| io::Error::other("the herd could not begin"))?;
        std::thread::sleep(LEAD);
        Ok(Self { stop, thread })
    }

    /// Ends the clients.
    pub(super) fn end(self) -> io::Result<Done> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the herd panicked"))?
    }
}

/// Runs this on a thread of the lowest priority, which the threads that it starts inherit.
pub(super) fn at_lowest_priority<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| only_when_idle().map(|()| work()))?
}

/// Sets the scheduling policy of this thread to SCHED_IDLE (sched(7)). One of the usual policy would finish its time
/// slice of some milliseconds, whatever its priority, before a thread of the server that has work again.
fn only_when_idle() -> io::Result<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("chrt (util-linux) ended with {status}"))) }
}

/// As [`at_lowest_priority`], of the highest priority. Without the right to it, which root has, the priority stays as
/// it is.
pub(super) fn at_highest_priority<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        if let Err(error) = setpriority_process(None, HIGHEST) {
            eprintln!("  the measured clients wait for the processors like the server: {error}");
        }
        work()
    })
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join().map_err(|_| io::Error::other("a thread panicked")))
}

/// Runs clients each of which sends the same request again and again on a connection that it keeps.
fn repeat(
    target: Target,
    clients: usize,
    request: &Request,
    stop: &AtomicBool,
    begun: &mpsc::Sender<()>,
) -> io::Result<Done> {
    let _ = begun.send(());
    run(clients, async |_, buffer| {
        let mut connection = Connection::open(target.address, None).await?;
        connection.discard(true);
        let mut done = 0;
        while !stop.load(Ordering::Relaxed) {
            let response = connection.request(request, Instant::now(), buffer, |_| ());
            // A response that takes longer than the herd is given up.
            let Some(received) = until(stop, response).await else { break };
            received?;
            done += 1;
        }
        Ok(done)
    })
}

/// Returns the result of the request, or `None` once the flag is set.
async fn until(
    stop: &AtomicBool,
    response: impl Future<Output = io::Result<Received>>,
) -> Option<io::Result<Received>> {
    let stopped = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        received = response => Some(received),
        () = stopped => None,
    }
}

/// Connects clients that then do nothing.
fn keep_silent(
    target: Target,
    manifest: &Request,
    blob: &Request,
    stop: &AtomicBool,
    begun: &mpsc::Sender<()>,
) -> io::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let buffer = RefCell::new(vec![0; BUFFER_BYTES]);
        let (mut idle, mut stalled) = (Vec::new(), Vec::new());
        for _ in 0..IDLE {
            let mut connection = Connection::open(target.address, None).await?;
            connection.request(manifest, Instant::now(), &buffer, |_| ()).await?;
            idle.push(connection);
        }
        for _ in 0..STALLED {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4096)?;
            let mut stream = socket.connect(target.address).await?;
            stream.write_all(&blob.bytes).await?;
            stalled.push(stream);
        }
        let _ = begun.send(());
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Done { responses: (idle.len() + stalled.len()) as u64, errors: 0 })
    })
}

/// Publishes images that no server has, and returns their pulls, in the order of the clients.
fn cold_pulls(server: &Running, lab: &Lab, clients: usize, round: usize) -> Vec<Pull> {
    let all = clients * COLD_IMAGES_EACH;
    let pull = |number: usize| {
        let image = Image::generated(1_000_000 + (round * all + number) as u64, &COLD_LAYERS);
        let (repository, tag) = (format!("library/cold-{round}"), number.to_string());
        lab.upstream.push_image(&repository, &tag, &image);
        Pull::new(server, &repository, &tag, &image)
    };
    (0..all).map(pull).collect()
}

fn pull_cold(clients: usize, pulls: &[Pull], stop: &AtomicBool, begun: &mpsc::Sender<()>) -> io::Result<Done> {
    let _ = begun.send(());
    let outcome = crowd::run(clients, Duration::ZERO, async |client, state| {
        for pull in pulls.iter().skip(client).step_by(clients) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match pull.run(state, false).await {
                Ok(pulled) => state.tally.borrow_mut().received(pulled.received()),
                Err(error) => state.tally.borrow_mut().failed(&error),
            }
        }
        Ok(())
    })?;
    if !stop.load(Ordering::Relaxed) {
        return Err(io::Error::other("the herd ran out of images before the end of the measurement"));
    }
    Ok(Done { responses: outcome.tally.answers, errors: outcome.tally.errors.values().sum() })
}

/// Runs the clients on one thread. Their work returns the number of responses.
fn run(clients: usize, work: impl AsyncFn(usize, &RefCell<Vec<u8>>) -> io::Result<u64>) -> io::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let buffer = RefCell::new(vec![0; BUFFER_BYTES]);
    let all = (0..clients).map(|client| work(client, &buffer));
    let results = runtime.block_on(futures::future::join_all(all));
    let errors = results.iter().filter(|result| result.is_err()).count() as u64;
    Ok(Done { responses: results.into_iter().flatten().sum(), errors })
}
