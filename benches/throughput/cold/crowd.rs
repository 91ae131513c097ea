//! Many clients that each have one thing to do, on as many threads as the load generator of the hits.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::load::{BUFFER, Outcome, THREADS, Tally};

/// A client that has not done its work by then has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the clients of one thread share.
pub(super) struct Desk {
    /// What they read into.
    pub(super) buffer: RefCell<Vec<u8>>,
    /// What they count in.
    pub(super) tally: RefCell<Tally>,
}

/// Has each client do its work once, and waits for the last; they arrive evenly over that time. The work is told which
/// client it is, from 0 on.
pub(super) fn run(
    clients: usize,
    over: Duration,
    work: impl AsyncFn(usize, &Desk) -> io::Result<()> + Sync,
) -> io::Result<Outcome> {
    let started = Instant::now();
    let arrives = |client: usize| started + over.mul_f64(client as f64 / clients as f64);
    let tally = std::thread::scope(|scope| {
        let share = |thread| (thread..clients).step_by(THREADS).map(|client| (client, arrives(client))).collect();
        let threads: Vec<_> = (0..THREADS).map(share).map(|share| scope.spawn(|| part(share, &work))).collect();
        let mut tally = Tally::default();
        for thread in threads {
            tally.add(&thread.join().map_err(|_| io::Error::other("a thread of the clients panicked"))??);
        }
        io::Result::Ok(tally)
    });
    Ok(Outcome { seconds: started.elapsed().as_secs_f64(), tally: tally? })
}

/// The clients of one thread.
fn part(clients: Vec<(usize, Instant)>, work: &impl AsyncFn(usize, &Desk) -> io::Result<()>) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let desk = Desk { buffer: RefCell::new(vec![0; BUFFER]), tally: RefCell::default() };
    let all = clients.into_iter().map(async |(client, arrives)| {
        tokio::time::sleep_until(arrives.into()).await;
        let done = tokio::time::timeout(PATIENCE, work(client, &desk)).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            desk.tally.borrow_mut().failed(&error);
        }
    });
    runtime.block_on(join_all(all));
    Ok(desk.tally.take())
}
