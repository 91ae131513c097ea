//! The listening ports: one for clients, one for Prometheus, and in a fleet one for other replicas.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpResponse, HttpServer};
use rustix::net::sockopt::{set_socket_reuseport, set_tcp_congestion};
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use super::addresses::Addresses;
use super::connection::Port;
use super::tls_on_plain_port::WarnedPeers;
use super::unread::UnreadBudget;
use super::workers::{self, Bounds, Workers};
use crate::http::{self, ApiState, Console, EarlyRefusals, Paths, RegistryState, ReplicaState};
use crate::server::error::CongestionError;
use crate::server::{StartError, capacity, process};
use crate::settings::Settings;
use crate::telemetry::Metrics;

/// A bound port, with its address. If the settings have port 0, it is the one that the operating system chose.
pub(in crate::server) type Bound = (SocketAddr, TcpListener);

/// Serves clients on this port, over TLS if `tls` is given.
///
/// # Errors
/// Fails if a listener cannot be used.
pub(in crate::server) fn serve_clients(
    state: Data<RegistryState>,
    (api, console): (Data<ApiState>, Data<Console>),
    settings: &Settings,
    tls: Option<ServerConfig>,
    (address, listeners): (SocketAddr, Vec<TcpListener>),
) -> Result<Workers, StartError> {
    let (settings, bounds, has_console) = (&settings.server, bounds(settings), settings.console.enabled);
    let unread = UnreadBudget::new(settings.request_memory, settings.trusted_proxies.clone());
    let tls = tls.map(Arc::new);
    let (warned, early) = (WarnedPeers::default(), EarlyRefusals::new(state.clone()));
    let port = Port { address, client_timeout: settings.client_timeout, unread, tls, warned, early };
    let serve = move |thread| {
        let app = App::new().app_data(state.clone()).app_data(api.clone()).app_data(console.clone());
        let app = app.app_data(Paths::default());
        let app = app.configure(|config| http::configure(config, has_console)).wrap(from_fn(http::instrument));
        port.clone().serve(app, thread)
    };
    workers::start(listeners, bounds, serve).map_err(|error| StartError::Listen { address, error })
}

/// Returns the maximum numbers of connections. They are reduced if the process may not open enough files for them.
fn bounds(settings: &Settings) -> Bounds {
    let (server, open_files) = (&settings.server, process::open_files());
    let (connections, each) = capacity::connections(server, &settings.cache, open_files);
    if connections < server.max_connections.get() {
        tracing::warn!(
            connections,
            open_files,
            "server.max_connections is more than the limit of open files allows, so fewer are accepted"
        );
    }
    let addresses = Addresses::new(each, server.trusted_proxies.clone());
    Bounds { connections, addresses, stop_timeout: server.shutdown_timeout }
}

/// Serves the metrics on this port. A background task bounds the memory of the histograms while nobody reads them.
///
/// # Errors
/// Fails if the listener cannot be used.
pub(in crate::server) fn serve_metrics(
    (address, listener): Bound,
    metrics: Metrics,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let upkeep = metrics.clone();
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(METRICS_UPKEEP_INTERVAL).await;
            upkeep.run_upkeep();
        }
    });
    let render = move || {
        let metrics = metrics.clone();
        async move { HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.render()) }
    };
    let server = HttpServer::new(move || App::new().route("/metrics", http::get().to(render.clone())));
    let server = server.workers(1).disable_signals().listen(listener);
    let server = server.map_err(|error| StartError::Listen { address, error })?.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((address, handle))
}

/// Serves the other replicas of a fleet on this port.
///
/// # Errors
/// Fails if the listener cannot be used.
pub(in crate::server) fn serve_replicas(
    (address, listener): Bound,
    state: Data<ReplicaState>,
) -> Result<ServerHandle, StartError> {
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(http::configure_replicas));
    // Each connection takes an open file of this process, also one of a client that is no replica.
    let server = server.workers(1).max_connections(MAX_REPLICA_CONNECTIONS).disable_signals().listen(listener);
    let server = server.map_err(|error| StartError::Listen { address, error })?.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

/// Maximum number of connections of other replicas.
const MAX_REPLICA_CONNECTIONS: usize = 512;

/// Interval of the upkeep of histograms (`Metrics::run_upkeep`).
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Length of the listen queue: connections that the kernel keeps until they are accepted. The usual 128 are fewer
/// than a fleet opens when it starts at once.
const BACKLOG: u32 = 4096;

/// Binds this address once for each worker thread, with `SO_REUSEPORT`. The kernel distributes new connections
/// among them and wakes one thread for each.
///
/// # Errors
/// Fails if the address cannot be bound.
pub(in crate::server) fn listen_each(
    address: SocketAddr,
    threads: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    // The first socket is bound without `SO_REUSEPORT`, which fails if any process uses the address. The option is
    // set afterwards, so that the other sockets of this service can join.
    let (address, first) = listen(address)?;
    let fail = |error| StartError::Listen { address, error };
    set_socket_reuseport(&first, true).map_err(|error| fail(error.into()))?;
    let others = (1..threads).map(|_| bind(address, true).map_err(fail));
    let all = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
    Ok((address, all))
}

/// Sets the TCP congestion control of the connections that these listeners accept (tcp(7), `TCP_CONGESTION`).
///
/// # Errors
/// Fails if the kernel does not have it, or does not allow it to this process.
pub(in crate::server) fn control_congestion(listeners: &[TcpListener], name: &str) -> Result<(), CongestionError> {
    let set = listeners.iter().try_for_each(|listener| set_tcp_congestion(listener, name));
    set.map_err(|error| CongestionError { name: name.to_owned(), error: error.into() })
}

/// Tries [`control_congestion`] on a socket of its own, which is closed at once.
///
/// # Errors
/// Fails as [`control_congestion`] does, and if no socket can be opened.
pub(in crate::server) fn try_congestion(address: SocketAddr, name: &str) -> Result<(), CongestionError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let set = socket.and_then(|socket| Ok(set_tcp_congestion(&socket, name)?));
    set.map_err(|error| CongestionError { name: name.to_owned(), error })
}

/// Binds this address. Clients that connect wait in the listen queue until it is served.
///
/// # Errors
/// Fails if the address cannot be bound.
pub(in crate::server) fn listen(address: SocketAddr) -> Result<Bound, StartError> {
    let bound = bind(address, false).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|error| StartError::Listen { address, error })
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    // Accepted connections inherit it. Responses are written in whole chunks, so Nagle's algorithm would only delay
    // the last one.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::net::TcpStream;

    use rustix::net::sockopt::tcp_congestion;

    use super::*;

    #[actix_rt::test]
    async fn accepted_connections_have_the_congestion_control_of_their_listener() {
        let (address, listeners) = listen_each("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        // Every Linux kernel has it.
        control_congestion(&listeners, "reno").unwrap();
        let _client = TcpStream::connect(address).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listeners[0].accept().unwrap();
        assert_eq!(tcp_congestion(&accepted).unwrap().trim_end_matches('\0'), "reno");
    }
}
