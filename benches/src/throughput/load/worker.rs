//! One thread of the load generator: its connections, each of which sends requests in a loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use rustls::ClientConfig;
use tokio::task::LocalSet;

use super::connection::{BUFFER_BYTES, Connection};
use super::plan::{Load, Target, Until};
use super::request::Request;
use super::tally::Tally;
use super::tls;

/// Delay after an error, so that an unavailable server does not cause a tight loop.
const ERROR_DELAY: Duration = Duration::from_millis(10);

/// The work of one thread.
pub(super) struct Work {
    load: Load,
    target: Target,
    request: Request,
}

/// State that its connections share.
struct Shared {
    target: Target,
    request: Request,
    tls: Option<Arc<ClientConfig>>,
    buffer: RefCell<Vec<u8>>,
    tally: RefCell<Tally>,
    /// Number of requests that may still be sent.
    left: Cell<u64>,
}

impl Work {
    /// Returns the share of thread number `thread` of `threads`.
    pub(super) fn share(load: Load, target: Target, request: Request, thread: usize, threads: usize) -> Self {
        let part = |all: usize| all / threads + usize::from(thread < all % threads);
        let until = match load.until {
            Until::Answers(all) => Until::Answers(part(usize::try_from(all).unwrap_or(usize::MAX)) as u64),
            Until::Elapsed(time) => Until::Elapsed(time),
        };
        Self { load: Load { connections: part(load.connections), until, ..load }, target, request }
    }

    /// Connects, reports whether that succeeded, waits for the others, and sends requests.
    pub(super) fn run(self, opened: &Sender<bool>, start: &Barrier) -> io::Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connected = runtime.block_on(self.connect());
        // Nobody receives this where another thread has failed before.
        let _ = opened.send(connected.is_ok());
        let (shared, connections) = connected?;
        start.wait();
        let local = LocalSet::new();
        let limit = match self.load.until {
            Until::Elapsed(time) => time,
            Until::Answers(_) => Duration::MAX,
        };
        let work = connections.into_iter().map(|connection| local.spawn_local(work(shared.clone(), connection)));
        let all = join_all(work.collect::<Vec<_>>());
        runtime.block_on(local.run_until(async { tokio::time::timeout(limit, all).await.map(|_| ()).ok() }));
        drop(local);
        Ok(shared.tally.take())
    }

    /// Opens the connections that are kept open; connections for one request are opened when it is sent.
    async fn connect(&self) -> io::Result<(Rc<Shared>, Vec<Option<Connection>>)> {
        let tls = if self.target.tls { Some(tls::client(self.load.resumption)?) } else { None };
        let count = self.load.connections;
        let connections = if self.request.close {
            (0..count).map(|_| None).collect()
        } else {
            let open = (0..count).map(|_| Connection::open(self.target.address, tls.as_ref()));
            try_join_all(open).await?.into_iter().map(Some).collect()
        };
        let shared = Shared {
            target: self.target,
            request: self.request.clone(),
            tls,
            buffer: RefCell::new(vec![0; BUFFER_BYTES]),
            tally: RefCell::default(),
            left: Cell::new(match self.load.until {
                Until::Elapsed(_) => u64::MAX,
                Until::Answers(count) => count,
            }),
        };
        Ok((Rc::new(shared), connections))
    }
}

/// Sends requests until none is left, or until it is aborted.
async fn work(shared: Rc<Shared>, mut connection: Option<Connection>) {
    while let Some(left) = shared.left.get().checked_sub(1) {
        shared.left.set(left);
        if let Err(error) = request_once(&shared, &mut connection).await {
            shared.tally.borrow_mut().failed(&error);
            connection = None;
            tokio::time::sleep(ERROR_DELAY).await;
        }
    }
}

async fn request_once(shared: &Shared, slot: &mut Option<Connection>) -> io::Result<()> {
    let started = Instant::now();
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => {
            let opened = Connection::open(shared.target.address, shared.tls.as_ref()).await?;
            shared.tally.borrow_mut().resumed += u64::from(opened.is_resumed());
            opened
        }
    };
    let count = |bytes: &[u8]| shared.tally.borrow_mut().bytes += bytes.len() as u64;
    let received = connection.request(&shared.request, started, &shared.buffer, count).await?;
    shared.tally.borrow_mut().received(received);
    *slot = received.reusable.then_some(connection);
    Ok(())
}
