//! Many clients with one task each, on as many threads as the load generator of the hits.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::throughput::load::{BUFFER_BYTES, Outcome, THREADS, Tally};

/// Timeout of a client's task.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(300);

/// State that the clients of one thread share.
pub(in crate::throughput) struct ThreadState {
    /// Buffer that they read into.
    pub(in crate::throughput) buffer: RefCell<Vec<u8>>,
    /// Their counters.
    pub(in crate::throughput) tally: RefCell<Tally>,
}

/// Lets each client run its task once, and waits for the last; they arrive evenly over this time. The task gets the
/// number of the client, from 0 on.
pub(in crate::throughput) fn run(
    clients: usize,
    over: Duration,
    work: impl AsyncFn(usize, &ThreadState) -> io::Result<()> + Sync,
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

/// Runs the clients of one thread.
fn part(
    clients: Vec<(usize, Instant)>,
    work: &impl AsyncFn(usize, &ThreadState) -> io::Result<()>,
) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let state = ThreadState { buffer: RefCell::new(vec![0; BUFFER_BYTES]), tally: RefCell::default() };
    let all = clients.into_iter().map(async |(client, arrives)| {
        tokio::time::sleep_until(arrives.into()).await;
        let done = tokio::time::timeout(CLIENT_TIMEOUT, work(client, &state)).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            state.tally.borrow_mut().failed(&error);
        }
    });
    runtime.block_on(join_all(all));
    Ok(state.tally.take())
}
