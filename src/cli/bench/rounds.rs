//! Clients on all processors: a thread for each, with a runtime of its own and its share of the clients, so that no core waits
//! for another. Each round is of one server; what is under way at its end is broken off, and counts with its bytes alone.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::{mpsc, watch};

use super::fault::Wrong;
use super::progress::{Live, Progress};
use super::pull::{Extent, Puller};
use super::session::Session;
use super::tally::Tally;
use super::wire::{Manner, Wire};
use crate::cli::failure::Failure;

/// What is done to whom.
pub(super) struct Load {
    pub(super) servers: Vec<Server>,
    /// What stands behind `manifests/` for each image.
    pub(super) references: Vec<String>,
    pub(super) extent: Extent,
    pub(super) manner: Manner,
    pub(super) clients: usize,
    pub(super) schedule: Schedule,
    pub(super) live: Live,
}

/// A server and its images.
pub(super) struct Server {
    pub(super) url: url::Url,
    /// One for each image.
    pub(super) sessions: Vec<Session>,
    /// How many pulls may still begin.
    pub(super) pulls_left: AtomicU64,
}

/// How long each server is measured, and in how many pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// How many rounds each server has.
    pub(super) rounds: u32,
    /// How long each takes.
    pub(super) length: Duration,
}

/// What was measured of a server.
pub(super) struct Measured {
    pub(super) tally: Tally,
    pub(super) rounds: Vec<Round>,
}

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Round {
    pub(super) seconds: f64,
    pub(super) pulls: u64,
    pub(super) bytes: u64,
}

/// A round, as a thread is told of it.
#[derive(Clone, Copy)]
struct Order {
    server: usize,
    until: Instant,
}

/// The threads.
struct Crew {
    orders: Vec<mpsc::Sender<Order>>,
    results: mpsc::Receiver<Result<Tally, Failure>>,
}

/// Keeps clients of a server that fails from doing nothing else.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

impl Schedule {
    /// Rounds of about this length, at least one.
    pub(super) fn new(duration: Duration, round: Duration) -> Self {
        let rounds = (duration.as_secs_f64() / round.as_secs_f64()).round().clamp(1.0, 100_000.0) as u32;
        Self { rounds, length: duration / rounds }
    }
}

impl Server {
    /// Takes one of the pulls that may still begin.
    fn takes_another(&self) -> bool {
        let left = self.pulls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.is_ok()
    }
}

impl Load {
    /// Pulls each image from each server once, to see that it can be done.
    pub(super) async fn warm_up(&self, progress: &Progress) -> Result<(), Failure> {
        for server in &self.servers {
            let wire = Wire::new(&server.url, &self.manner)?;
            let tally = RefCell::new(Tally::new()?);
            let puller = Puller { wire: &wire, extent: &self.extent, tally: &tally, live: &self.live };
            for (image, session) in server.sessions.iter().enumerate() {
                progress.enter(format!("a first pull of {} from {}", session.repository(), origin(server)));
                let reference = &self.references[image];
                let pulled = puller.pull(session, image, reference).await;
                pulled.map_err(|wrong| wrong.at_first(&origin(server), session.repository()))?;
            }
        }
        Ok(())
    }

    /// Measures until the schedule is done, the pulls are spent or `stop` is true.
    pub(super) async fn measure(
        self: &Arc<Self>,
        progress: &Progress,
        stop: watch::Receiver<bool>,
    ) -> Result<Vec<Measured>, Failure> {
        let mut crew = Crew::start(self, &stop).await?;
        let new = |_| Ok(Measured { tally: Tally::new()?, rounds: Vec::new() });
        let mut measured = self.servers.iter().map(new).collect::<Result<Vec<_>, Failure>>()?;
        for _ in 0..self.schedule.rounds {
            for (number, server) in self.servers.iter().enumerate() {
                if *stop.borrow() || server.pulls_left.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                progress.enter(origin(server));
                let (tally, round) = crew.round(number, self.schedule.length).await?;
                measured[number].tally.add(tally);
                measured[number].rounds.push(round);
            }
        }
        Ok(measured)
    }

    /// Clients of these numbers pull from this server, one image after the other, until they are dropped.
    async fn run(&self, clients: Range<usize>, server: &Server, wire: &Wire, tally: &RefCell<Tally>) {
        let puller = Puller { wire, extent: &self.extent, tally, live: &self.live };
        join_all(clients.map(|client| self.client(client, server, &puller))).await;
    }

    async fn client(&self, number: usize, server: &Server, puller: &Puller<'_>) {
        let mut turns = (0..self.references.len()).cycle().skip(number % self.references.len());
        while let Some(image) = turns.next().filter(|_| server.takes_another()) {
            if let Err(wrong) = puller.pull(&server.sessions[image], image, &self.references[image]).await {
                self.note(&wrong, puller);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    fn note(&self, wrong: &Wrong, puller: &Puller<'_>) {
        puller.tally.borrow_mut().wrong(wrong);
        self.live.failed();
    }
}

impl Crew {
    /// All threads, once each is ready.
    async fn start(load: &Arc<Load>, stop: &watch::Receiver<bool>) -> Result<Self, Failure> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = shares(load.clients, processors);
        let (results, received) = mpsc::channel(shares.len());
        let mut orders = Vec::new();
        for share in shares {
            let (order, ordered) = mpsc::channel(1);
            let (load, stop, results) = (load.clone(), stop.clone(), results.clone());
            let work = move || worker(&load, &share, ordered, &results, stop);
            let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(work);
            thread.map_err(|error| Failure::Input(format!("cannot start a thread: {error}")))?;
            orders.push(order);
        }
        let mut crew = Self { orders, results: received };
        crew.collect().await.map(|_nothing_yet| crew)
    }

    /// One round by all threads.
    async fn round(&mut self, server: usize, length: Duration) -> Result<(Tally, Round), Failure> {
        let started = Instant::now();
        for order in &self.orders {
            order.send(Order { server, until: started + length }).await.map_err(|_| lost())?;
        }
        let tally = self.collect().await?;
        let seconds = started.elapsed().as_secs_f64();
        let round = Round { seconds, pulls: tally.images.count(), bytes: tally.bytes };
        Ok((tally, round))
    }

    /// What all threads say.
    async fn collect(&mut self) -> Result<Tally, Failure> {
        let mut tally = Tally::new()?;
        for _ in &self.orders {
            tally.add(self.results.recv().await.ok_or_else(lost)??);
        }
        Ok(tally)
    }
}

fn lost() -> Failure {
    Failure::Bench("a thread of clients has ended".to_owned())
}

/// A thread of clients, until no more orders come. Says that it is ready, and then what it measured in each round.
fn worker(
    load: &Load,
    clients: &Range<usize>,
    mut orders: mpsc::Receiver<Order>,
    results: &mpsc::Sender<Result<Tally, Failure>>,
    mut stop: watch::Receiver<bool>,
) {
    let work = async {
        let wires = load.servers.iter().map(|server| Wire::new(&server.url, &load.manner));
        let wires = wires.collect::<Result<Vec<_>, Failure>>()?;
        let mut told = results.send(Ok(Tally::new()?)).await;
        while let (Ok(()), Some(Order { server, until })) = (told, orders.recv().await) {
            let tally = RefCell::new(Tally::new()?);
            tokio::select! {
                () = load.run(clients.clone(), &load.servers[server], &wires[server], &tally) => {}
                () = tokio::time::sleep_until(until.into()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            told = results.send(Ok(tally.into_inner())).await;
        }
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::Input(format!("cannot start: {error}"))),
    };
    if let Err(failure) = outcome {
        let _nobody_waits = results.blocking_send(Err(failure));
    }
}

/// So many clients on so many threads, none of them idle.
fn shares(clients: usize, threads: usize) -> Vec<Range<usize>> {
    let threads = threads.min(clients).max(1);
    let bound = |number: usize| number * clients / threads;
    (0..threads).map(|number| bound(number)..bound(number + 1)).collect()
}

/// The server as it is shown.
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
