//! The load generator: about as light as wrk, because it shares the processors with the servers. Two threads, each with a
//! runtime of its own and one buffer that everything is read into and forgotten in.

mod connection;
mod head;
mod request;
mod tally;
pub mod tls;
mod worker;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use connection::{BUFFER, Connection, Received};
pub use request::Request;
pub use tally::Tally;

/// Threads that make requests.
pub const THREADS: usize = 2;

/// A server, as clients see it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// Whether it speaks TLS, with the lab's certificate.
    pub tls: bool,
}

/// How requests are made.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections at the same time; each asks again as soon as it has its answer.
    pub connections: usize,
    /// Whether TLS sessions are resumed. Only seen where each request has a connection of its own.
    pub resumption: bool,
    /// When it ends.
    pub until: Until,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so long; what is under way is broken off, and its bytes count.
    Elapsed(Duration),
    /// After so many answers, right or wrong; a thread's share is the same for all of them.
    Answers(u64),
}

/// Connections that are open, or would be, and wait for the start.
pub struct Ready {
    start: Arc<Barrier>,
    threads: Vec<JoinHandle<io::Result<Tally>>>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Seconds from the start to the end.
    pub seconds: f64,
    /// What was counted meanwhile.
    pub tally: Tally,
}

/// One request on a connection of its own: what warms a cache, and what a single client sees.
pub fn get(target: Target, request: &Request) -> io::Result<Received> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tls = target.tls.then(|| tls::client(false)).transpose()?;
    let buffer = RefCell::new(vec![0; BUFFER]);
    let started = Instant::now();
    runtime.block_on(async {
        let mut connection = Connection::open(target.address, tls.as_ref()).await?;
        connection.ask(request, started, &buffer, |_| ()).await
    })
}

impl Load {
    /// Opens the connections of kept-alive requests, so that this is not measured.
    pub fn connect(self, target: Target, request: &Request) -> io::Result<Ready> {
        let count = THREADS.min(self.connections).max(1);
        let start = Arc::new(Barrier::new(count + 1));
        let (opened, all_opened) = mpsc::channel();
        let threads = (0..count).map(|thread| {
            let plan = worker::Plan::share(self, target, request.clone(), thread, count);
            let (start, opened) = (start.clone(), opened.clone());
            std::thread::Builder::new().name(format!("load-{thread}")).spawn(move || plan.run(&opened, &start))
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        drop(opened);
        // A thread that cannot connect has said so instead of waiting; the others are then let go.
        if all_opened.iter().take(count).filter(|opened| *opened).count() < count {
            return Err(io::Error::other("the load generator cannot connect"));
        }
        Ok(Ready { start, threads })
    }
}

impl Ready {
    /// Starts, and waits for the end.
    pub fn go(self) -> io::Result<Outcome> {
        self.start.wait();
        let started = Instant::now();
        let mut tally = Tally::default();
        for thread in self.threads {
            tally.add(&thread.join().map_err(|_| io::Error::other("a thread of the load generator panicked"))??);
        }
        Ok(Outcome { seconds: started.elapsed().as_secs_f64(), tally })
    }
}
