//! Scheduling of the clients: one thread per processor, each with its own runtime and its share of the clients. A round
//! measures one server. At its end running downloads are aborted; of those only the received bytes are counted.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::{mpsc, watch};

use super::fault::PullError;
use super::progress::{Live, Progress};
use super::pull::{PullScope, Puller};
use super::session::Session;
use super::tally::Tally;
use super::wire::{ConnectionOptions, Wire};
use crate::cli::failure::Failure;

/// The load to generate, and the servers to measure.
pub(super) struct Load {
    pub(super) servers: Vec<Server>,
    /// Tag or digest of each image.
    pub(super) references: Vec<String>,
    pub(super) scope: PullScope,
    pub(super) connection: ConnectionOptions,
    pub(super) clients: usize,
    pub(super) schedule: Schedule,
    pub(super) live: Live,
}

/// A server and its images.
pub(super) struct Server {
    pub(super) url: url::Url,
    /// Sessions, one per image.
    pub(super) sessions: Vec<Session>,
    /// Number of pulls that may still begin.
    pub(super) pulls_left: AtomicU64,
}

/// Number and length of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Number of rounds per server.
    pub(super) rounds: u32,
    /// Length of a round.
    pub(super) length: Duration,
}

/// Results of one server.
pub(super) struct Measured {
    pub(super) tally: Tally,
    pub(super) rounds: Vec<Round>,
}

/// Results of one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Round {
    pub(super) seconds: f64,
    pub(super) pulls: u64,
    pub(super) bytes: u64,
}

/// One round, as it is assigned to a thread.
#[derive(Clone, Copy)]
struct Assignment {
    server: usize,
    until: Instant,
}

/// The threads that run the clients.
struct WorkerThreads {
    assignments: Vec<mpsc::Sender<Assignment>>,
    results: mpsc::Receiver<Result<Tally, Failure>>,
}

/// Delay of a client after a failed pull, so that it does not only produce errors in a tight loop.
const FAILURE_DELAY: Duration = Duration::from_millis(200);

impl Schedule {
    /// Divides the duration into rounds of about this length, at least one.
    pub(super) fn new(duration: Duration, round: Duration) -> Self {
        let rounds = (duration.as_secs_f64() / round.as_secs_f64()).round().clamp(1.0, 100_000.0) as u32;
        Self { rounds, length: duration / rounds }
    }
}

impl Server {
    /// Takes one of the remaining pulls. Returns false where none is left.
    fn takes_another(&self) -> bool {
        let left = self.pulls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.is_ok()
    }
}

impl Load {
    /// Pulls each image from each server once. Fails with the first pull that fails.
    pub(super) async fn warm_up(&self, progress: &Progress) -> Result<(), Failure> {
        for server in &self.servers {
            let wire = Wire::new(&server.url, &self.connection)?;
            let tally = RefCell::new(Tally::new()?);
            let puller = Puller { wire: &wire, scope: &self.scope, tally: &tally, live: &self.live };
            for (image, session) in server.sessions.iter().enumerate() {
                progress.enter(format!("a first pull of {} from {}", session.repository(), origin(server)));
                let reference = &self.references[image];
                let pulled = puller.pull(session, image, reference).await;
                pulled.map_err(|error| error.at_first(&origin(server), session.repository()))?;
            }
        }
        Ok(())
    }

    /// Measures until the schedule is complete, no pull is left or `stop` is true. Fails where a thread cannot be
    /// started or has ended.
    pub(super) async fn measure(
        self: &Arc<Self>,
        progress: &Progress,
        stop: watch::Receiver<bool>,
    ) -> Result<Vec<Measured>, Failure> {
        let mut workers = WorkerThreads::start(self, &stop).await?;
        let new = |_| Ok(Measured { tally: Tally::new()?, rounds: Vec::new() });
        let mut measured = self.servers.iter().map(new).collect::<Result<Vec<_>, Failure>>()?;
        for _ in 0..self.schedule.rounds {
            for (number, server) in self.servers.iter().enumerate() {
                if *stop.borrow() || server.pulls_left.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                progress.enter(origin(server));
                let (tally, round) = workers.round(number, self.schedule.length).await?;
                measured[number].tally.add(tally);
                measured[number].rounds.push(round);
            }
        }
        Ok(measured)
    }

    /// Runs the clients with these numbers, which pull from this server, one image after the other, until they are
    /// dropped.
    async fn run(&self, clients: Range<usize>, server: &Server, wire: &Wire, tally: &RefCell<Tally>) {
        let puller = Puller { wire, scope: &self.scope, tally, live: &self.live };
        join_all(clients.map(|client| self.client(client, server, &puller))).await;
    }

    async fn client(&self, number: usize, server: &Server, puller: &Puller<'_>) {
        let mut turns = (0..self.references.len()).cycle().skip(number % self.references.len());
        while let Some(image) = turns.next().filter(|_| server.takes_another()) {
            if let Err(error) = puller.pull(&server.sessions[image], image, &self.references[image]).await {
                self.count_failure(&error, puller);
                tokio::time::sleep(FAILURE_DELAY).await;
            }
        }
    }

    fn count_failure(&self, error: &PullError, puller: &Puller<'_>) {
        puller.tally.borrow_mut().record_failure(error);
        self.live.failed();
    }
}

impl WorkerThreads {
    /// Starts the threads, and waits until each is ready.
    async fn start(load: &Arc<Load>, stop: &watch::Receiver<bool>) -> Result<Self, Failure> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = shares(load.clients, processors);
        let (results, received) = mpsc::channel(shares.len());
        let mut assignments = Vec::new();
        for share in shares {
            let (assignment, received_assignments) = mpsc::channel(1);
            let (load, stop, results) = (load.clone(), stop.clone(), results.clone());
            let work = move || worker(&load, &share, received_assignments, &results, stop);
            let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(work);
            thread.map_err(|error| Failure::Input(format!("cannot start a thread: {error}")))?;
            assignments.push(assignment);
        }
        let mut workers = Self { assignments, results: received };
        // The first results are empty: they report that the threads are ready.
        workers.collect().await.map(|_| workers)
    }

    /// Runs one round on all threads.
    async fn round(&mut self, server: usize, length: Duration) -> Result<(Tally, Round), Failure> {
        let started = Instant::now();
        for assignment in &self.assignments {
            assignment.send(Assignment { server, until: started + length }).await.map_err(|_| lost())?;
        }
        let tally = self.collect().await?;
        let seconds = started.elapsed().as_secs_f64();
        let round = Round { seconds, pulls: tally.images.count(), bytes: tally.bytes };
        Ok((tally, round))
    }

    /// Collects one result from each thread.
    async fn collect(&mut self) -> Result<Tally, Failure> {
        let mut tally = Tally::new()?;
        for _ in &self.assignments {
            tally.add(self.results.recv().await.ok_or_else(lost)??);
        }
        Ok(tally)
    }
}

fn lost() -> Failure {
    Failure::Bench("a thread of clients has ended".to_owned())
}

/// Runs a thread of clients until the channel of assignments is closed. Sends an empty result once it is ready, and
/// then the result of each round.
fn worker(
    load: &Load,
    clients: &Range<usize>,
    mut assignments: mpsc::Receiver<Assignment>,
    results: &mpsc::Sender<Result<Tally, Failure>>,
    mut stop: watch::Receiver<bool>,
) {
    let work = async {
        let wires = load.servers.iter().map(|server| Wire::new(&server.url, &load.connection));
        let wires = wires.collect::<Result<Vec<_>, Failure>>()?;
        let mut sent = results.send(Ok(Tally::new()?)).await;
        while let (Ok(()), Some(Assignment { server, until })) = (sent, assignments.recv().await) {
            let tally = RefCell::new(Tally::new()?);
            tokio::select! {
                () = load.run(clients.clone(), &load.servers[server], &wires[server], &tally) => {}
                () = tokio::time::sleep_until(until.into()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            sent = results.send(Ok(tally.into_inner())).await;
        }
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::Input(format!("cannot start: {error}"))),
    };
    if let Err(failure) = outcome {
        // This fails only where the measurement has ended already.
        let _ = results.blocking_send(Err(failure));
    }
}

/// Distributes the clients evenly over at most this number of threads, without an idle one.
fn shares(clients: usize, threads: usize) -> Vec<Range<usize>> {
    let threads = threads.min(clients).max(1);
    let bound = |number: usize| number * clients / threads;
    (0..threads).map(|number| bound(number)..bound(number + 1)).collect()
}

/// Returns the server's scheme, host and port, for messages.
pub(super) fn origin(server: &Server) -> String {
    server.url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_thread_and_no_thread_is_idle() {
        assert_eq!(shares(5, 2), [0..2, 2..5]);
        assert_eq!(shares(1, 8), vec![Range { start: 0, end: 1 }]);
        assert_eq!(shares(1_000, 3).iter().map(Range::len).sum::<usize>(), 1_000);
    }

    #[test]
    fn rounds_fill_the_time() {
        let schedule = |duration, round| Schedule::new(Duration::from_secs(duration), Duration::from_secs(round));
        assert_eq!(schedule(10, 2), Schedule { rounds: 5, length: Duration::from_secs(2) });
        assert_eq!(schedule(1, 2), Schedule { rounds: 1, length: Duration::from_secs(1) });
        assert_eq!(schedule(5, 2).rounds, 3);
    }
}
