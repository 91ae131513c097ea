//! The hub's thread: three listeners, a task for each connection, and the switches that take a listener down and up
//! again. It makes no decisions on responses.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc as blocking},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::{self, JoinSet},
};

use super::{Shared, registry::State, requests::Listener, wire::Connection};

/// Command of the hub's handle to its thread, which replies when it is done.
pub(super) enum Command {
    Down(Listener, blocking::Sender<()>),
    Up(Listener, blocking::Sender<()>),
}

/// Starts the thread and waits until all three listen.
pub(super) fn start() -> (Arc<Shared>, mpsc::UnboundedSender<Command>, JoinHandle<()>) {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (started, is_started) = blocking::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = move || runtime.block_on(run(inbox, &started));
    let thread = std::thread::Builder::new().name("fake-hub".to_owned()).spawn(body).unwrap();
    (is_started.recv().expect("three free ports"), commands, thread)
}

/// Serves until the handle is dropped.
async fn run(mut inbox: mpsc::UnboundedReceiver<Command>, started: &blocking::Sender<Arc<Shared>>) {
    let listeners = [Listener::Registry, Listener::Realm, Listener::Cdn];
    let mut doors = listeners.map(|listener| Door::bind(listener).unwrap());
    let addresses = doors.each_ref().map(|door| door.address);
    let state = Mutex::new(State::new(addresses));
    let shared = Arc::new(Shared { state, releases: watch::Sender::new(0) });
    doors.iter_mut().for_each(|door| door.open(&shared));
    started.send(Arc::clone(&shared)).unwrap();
    while let Some(command) = inbox.recv().await {
        let done = match command {
            Command::Down(listener, done) => {
                doors[listener as usize].close().await;
                done
            }
            Command::Up(listener, done) => {
                doors[listener as usize].open(&shared);
                done
            }
        };
        done.send(()).unwrap();
    }
}

/// A listener and its port, which stays reserved while it refuses connections.
struct Door {
    listener: Listener,
    address: SocketAddr,
    state: DoorState,
}

enum DoorState {
    /// Bound and not listening: the kernel refuses connections, and assigns the port to nobody else.
    Refusing(Option<TcpSocket>),
    Accepting {
        task: task::JoinHandle<()>,
        connections: Connections,
    },
}

type Connections = Arc<Mutex<JoinSet<()>>>;

impl Door {
    fn bind(listener: Listener) -> io::Result<Self> {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        Ok(Self { listener, address, state: DoorState::Refusing(Some(socket)) })
    }

    fn open(&mut self, shared: &Arc<Shared>) {
        let DoorState::Refusing(socket) = &mut self.state else {
            return;
        };
        let socket = socket.take().unwrap().listen(1024).unwrap();
        let connections = Connections::default();
        let (shared, open) = (Arc::clone(shared), Arc::clone(&connections));
        let task = task::spawn(accept(socket, self.listener, shared, open));
        self.state = DoorState::Accepting { task, connections };
    }

    async fn close(&mut self) {
        let DoorState::Accepting { task, connections } = &mut self.state else {
            return;
        };
        task.abort();
        let _ = task.await;
        let mut cut = std::mem::take(&mut *connections.lock().unwrap());
        cut.shutdown().await;
        self.state = DoorState::Refusing(Some(bound_again(self.address).await));
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
    let mut connection = Connection::new(stream, shared.releases.subscribe())?;
    let mut served = 0;
    while let Some(request) = connection.request(listener).await? {
        let limit = shared.state.lock().unwrap().settings.requests_per_connection;
        if listener == Listener::Registry && limit.is_some_and(|limit| served >= limit) {
            return connection.reset();
        }
        served += 1;
        let head_only = request.method == "HEAD";
        let last = request.header("connection").is_some_and(|value| value.contains("close"));
        let reply = shared.state.lock().unwrap().answer(request);
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
