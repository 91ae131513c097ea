//! The registry's thread: three listeners, a task for each connection, and the switches that take a listener down and
//! up again. It makes no decisions on responses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::connection::Connection;
use crate::registry::State;
use crate::requests::Listener;
use crate::settings::Settings;
use crate::stream::Stream;

/// Command of the registry's handle to its thread, which replies when it is done.
pub(super) enum Command {
    Down(Listener, blocking::Sender<()>),
    Up(Listener, blocking::Sender<()>),
}

/// State that the handle, the thread and the connections share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Number of releases of held bodies so far.
    pub(super) releases: watch::Sender<u64>,
    tls: Option<TlsAcceptor>,
}

/// The shared state, the sender of commands, and the thread.
pub(super) type Started = (Arc<Shared>, mpsc::UnboundedSender<Command>, JoinHandle<()>);

/// Starts the thread and waits until all three listen. Fails where no port is free.
pub(super) fn start(settings: Settings, tls: Option<TlsAcceptor>) -> io::Result<Started> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (started, is_started) = blocking::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let endpoints =
        [Endpoint::bind(Listener::Registry)?, Endpoint::bind(Listener::Realm)?, Endpoint::bind(Listener::Storage)?];
    let state = State::new(endpoints.each_ref().map(|endpoint| endpoint.address), settings);
    let shared = Arc::new(Shared { state: Mutex::new(state), releases: watch::Sender::new(0), tls });
    let for_thread = Arc::clone(&shared);
    let body = move || runtime.block_on(run(endpoints, for_thread, inbox, &started));
    let thread = std::thread::Builder::new().name("fake-registry".to_owned()).spawn(body)?;
    is_started.recv().map_err(io::Error::other)?;
    Ok((shared, commands, thread))
}

/// Serves until the handle is dropped.
async fn run(
    mut endpoints: [Endpoint; 3],
    shared: Arc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    started: &blocking::Sender<()>,
) {
    endpoints.iter_mut().for_each(|endpoint| endpoint.open(&shared));
    started.send(()).unwrap();
    while let Some(command) = inbox.recv().await {
        let done = match command {
            Command::Down(listener, done) => {
                endpoints[listener as usize].close().await;
                done
            }
            Command::Up(listener, done) => {
                endpoints[listener as usize].open(&shared);
                done
            }
        };
        done.send(()).unwrap();
    }
}

/// A listener and its port, which stays reserved while it refuses connections.
struct Endpoint {
    listener: Listener,
    address: SocketAddr,
    state: EndpointState,
}

enum EndpointState {
    /// Bound and not listening: the kernel refuses connections, and assigns the port to nobody else.
    Refusing(Option<TcpSocket>),
    Accepting {
        task: task::JoinHandle<()>,
        connections: Connections,
    },
}

type Connections = Arc<Mutex<JoinSet<()>>>;

impl Endpoint {
    fn bind(listener: Listener) -> io::Result<Self> {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        Ok(Self { listener, address, state: EndpointState::Refusing(Some(socket)) })
    }

    fn open(&mut self, shared: &Arc<Shared>) {
        let EndpointState::Refusing(socket) = &mut self.state else {
            return;
        };
        let socket = socket.take().unwrap().listen(1024).unwrap();
        let connections = Connections::default();
        let (shared, open) = (Arc::clone(shared), Arc::clone(&connections));
        let task = task::spawn(accept(socket, self.listener, shared, open));
        self.state = EndpointState::Accepting { task, connections };
    }

    async fn close(&mut self) {
        let EndpointState::Accepting { task, connections } = &mut self.state else {
            return;
        };
        task.abort();
        let _ = task.await;
        let mut cut = std::mem::take(&mut *connections.lock().unwrap());
        cut.shutdown().await;
        self.state = EndpointState::Refusing(Some(bound_again(self.address).await));
    }
}

/// Binds an address that was free shortly before: a client of another test may have it as its own port for a while.
async fn bound_again(address: SocketAddr) -> TcpSocket {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match bound(address) {
            Ok(socket) => return socket,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn accept(socket: TcpListener, at: Listener, shared: Arc<Shared>, open: Connections) {
    while let Ok((stream, _)) = socket.accept().await {
        let mut open = open.lock().unwrap();
        while open.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        open.spawn(async move {
            // A client that disconnects early is no error.
            let _ = serve(stream, at, &shared).await;
        });
    }
}

async fn serve(stream: TcpStream, listener: Listener, shared: &Shared) -> io::Result<()> {
    let stream = Stream::accept(stream, shared.tls.as_ref()).await?;
    let mut connection = Connection::new(stream, shared.releases.subscribe());
    let mut served = 0;
    while let Some(request) = connection.request(listener).await? {
        let limit = shared.state.lock().unwrap().settings.requests_per_connection;
        if listener == Listener::Registry && limit.is_some_and(|limit| served >= limit) {
            return connection.reset();
        }
        served += 1;
        let head_only = request.method == "HEAD";
        let last = request.header("connection").is_some_and(|value| value.contains("close"));
        let reply = shared.state.lock().unwrap().respond(request);
        if !connection.send(&reply, head_only).await? || last {
            break;
        }
    }
    Ok(())
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
