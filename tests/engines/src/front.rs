//! A TCP front between clients and a server, whose behaviour a caller switches at any time.

mod connection;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use self::connection::connection;

/// Treatment of connections, those that exist included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Everything passes at once.
    Pass,
    /// Connections are reset, new ones at once: the server's process has ended.
    Refuse,
    /// Connections are accepted, and no byte passes: the server's host is gone. What arrives is lost, and a connection
    /// that lost something is reset at the end of this mode.
    Stall,
    /// As `Stall`, but nothing is lost: everything passes at the end of this mode, what clients sent before they closed
    /// their connections included. A network that was cut in two is whole again.
    Hold,
    /// Each direction of each connection passes this number of bytes a second.
    Slow(u32),
    /// Each direction takes this time. Opening a connection does not.
    Delay(Duration),
}

/// A listener on a free port with a thread of its own. Dropping it closes all connections.
pub struct Front {
    address: SocketAddr,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts a front that passes everything to this server, which need not be there yet.
    pub fn start(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State { mode: Mode::Pass, cuts: 0, ended: false });
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, server, watched, shared));
        });
        Self { address, state, counts, thread: Some(thread) }
    }

    /// Returns the address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Switches the mode. What a client sends after this is under the new mode.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Resets all connections once; new ones are under the mode. No byte that is sent after this passes on them.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Returns the maximum number of connections that clients had open at a time. A client that replaces a connection
    /// may add one for an instant.
    pub fn most_open(&self) -> usize {
        self.counts.most_open.load(Ordering::SeqCst)
    }

    /// Returns the number of connections opened so far, those that were refused included.
    pub fn opened(&self) -> usize {
        self.counts.opened.load(Ordering::SeqCst)
    }

    /// Returns the number of bytes that have passed so far, in both directions.
    pub fn passed(&self) -> u64 {
        self.counts.passed.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy)]
struct State {
    mode: Mode,
    cuts: u64,
    ended: bool,
}

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    most_open: AtomicUsize,
    opened: AtomicUsize,
    passed: AtomicU64,
}

/// An open connection of a client, as counted.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.opened.fetch_add(1, Ordering::SeqCst);
        let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most_open.fetch_max(open, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The state of the front, as seen by one connection.
#[derive(Clone)]
struct Watch {
    state: watch::Receiver<State>,
    /// Number of cuts when the connection was opened.
    cuts: u64,
    counts: Arc<Counts>,
}

impl Watch {
    /// Returns the mode. Fails where the connection is to be reset.
    fn mode(&mut self) -> io::Result<Mode> {
        let State { mode, cuts, .. } = *self.state.borrow_and_update();
        if mode == Mode::Refuse || cuts != self.cuts { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(mode) }
    }

    /// Waits until the state is another one than that of the last [`Self::mode`].
    async fn changed(&mut self) -> io::Result<()> {
        self.state.changed().await.map_err(io::Error::other)
    }

    /// Waits until something passes.
    async fn passes(&mut self) -> io::Result<()> {
        while matches!(self.mode()?, Mode::Stall | Mode::Hold) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Waits until the connection is to be reset.
    async fn reset(mut self) -> io::Error {
        loop {
            if let Err(error) = self.mode() {
                return error;
            }
            if let Err(error) = self.changed().await {
                return error;
            }
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    server: SocketAddr,
    state: watch::Receiver<State>,
    counts: Arc<Counts>,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut ending = state.clone();
    loop {
        let client = tokio::select! {
            _ = ending.wait_for(|state| state.ended) => return,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let cuts = state.borrow().cuts;
        let watch = Watch { state: state.clone(), cuts, counts: Arc::clone(&counts) };
        tokio::spawn(connection(client, server, watch, Open::new(&counts)));
    }
}
