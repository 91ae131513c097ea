//! The load generator: about as light as wrk, because it shares the processors with the servers. It has two
//! threads, each with its own runtime and one buffer, into which everything is read and discarded.

mod connection;
mod head;
mod plan;
mod request;
mod tally;
pub mod tls;
mod worker;

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Barrier, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

pub use connection::{BUFFER_BYTES, Connection, Received};
pub use plan::{Load, Target, Until};
pub use request::Request;
pub use tally::Tally;

/// Number of threads that send requests.
pub const THREADS: usize = 2;

/// Connections that are open, or will be opened per request, and wait for the start.
pub struct Ready {
    start: Arc<Barrier>,
    threads: Vec<JoinHandle<io::Result<Tally>>>,
}

/// Result of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Duration in seconds.
    pub seconds: f64,
    /// Counters and latencies.
    pub tally: Tally,
}

/// Sends one request on a new connection: to warm a cache, or to measure a single client.
pub fn get(target: Target, request: &Request) -> io::Result<Received> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tls = target.tls.then(|| tls::client(false)).transpose()?;
    let buffer = RefCell::new(vec![0; BUFFER_BYTES]);
    let started = Instant::now();
    runtime.block_on(async {
        let mut connection = Connection::open(target.address, tls.as_ref()).await?;
        connection.request(request, started, &buffer, |_| ()).await
    })
}

impl Load {
    /// Opens the connections that are kept open, so that this is not measured.
    pub fn connect(self, target: Target, request: &Request) -> io::Result<Ready> {
        let count = THREADS.min(self.connections).max(1);
        let start = Arc::new(Barrier::new(count + 1));
        let (opened, all_opened) = mpsc::channel();
        let threads = (0..count).map(|thread| {
            let plan = worker::Work::share(self, target, request.clone(), thread, count);
            let (start, opened) = (start.clone(), opened.clone());
            std::thread::Builder::new().name(format!("load-{thread}")).spawn(move || plan.run(&opened, &start))
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        drop(opened);
        // A thread that cannot connect reports it and does not wait at the barrier; this lets the others go.
        if all_opened.iter().take(count).filter(|opened| *opened).count() < count {
            return Err(io::Error::other("the load generator cannot connect"));
        }
        Ok(Ready { start, threads })
    }
}

impl Ready {
    /// Starts the load, and waits for its end.
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
