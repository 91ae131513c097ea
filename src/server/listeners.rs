//! The two ports: one for clients, one for Prometheus.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use rustix::net::sockopt::{set_socket_reuseport, set_tcp_congestion};
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use super::addresses::Addresses;
use super::clients::Port;
use super::mistaken_tls::Told;
use super::unread::UnreadBudget;
use super::workers::{self, Bounds, Workers};
use super::{StartError, options, process};
use crate::http::{self, ApiState, Paths, RegistryState};
use crate::settings::Settings;
use crate::telemetry::Metrics;

/// A port that is this service's, with the number that the system chose where none was given.
pub(super) type Bound = (SocketAddr, TcpListener);

/// Serves clients on this port, over TLS where it is given.
pub(super) fn serve_clients(
    state: Data<RegistryState>,
    api: Data<ApiState>,
    settings: &Settings,
    tls: Option<ServerConfig>,
    (address, listeners): (SocketAddr, Vec<TcpListener>),
) -> Result<Workers, StartError> {
    let (settings, bounds) = (&settings.server, bounds(settings));
    let unread = UnreadBudget::new(settings.request_memory, settings.trusted_proxies.clone());
    let tls = tls.map(Arc::new);
    let port = Port { address, patience: settings.client_timeout, unread, tls, told: Told::default() };
    let serve = move |thread| {
        let app = App::new().app_data(state.clone()).app_data(api.clone()).app_data(Paths::default());
        let app = app.app_data(web::PayloadConfig::new(MAX_BODY_BYTES));
        let app = app.configure(http::configure).wrap(from_fn(http::around));
        port.clone().serve(app, thread)
    };
    workers::start(listeners, bounds, serve).map_err(|error| StartError::Listen { address, error })
}

/// How much is served: at most what the process may have files open for.
fn bounds(settings: &Settings) -> Bounds {
    let (server, open_files) = (&settings.server, process::open_files());
    let (connections, each) = options::connections(server, &settings.cache, open_files);
    if connections < server.max_connections.get() {
        tracing::warn!(
            connections,
            open_files,
            "server.max_connections is more than the limit of open files allows, so fewer are accepted"
        );
    }
    let addresses = Addresses::new(each, server.trusted_proxies.clone());
    Bounds { connections, addresses, stop_within: server.shutdown_timeout }
}

/// Requests carry credentials and small forms at most; strangers, too, may send as much on every connection.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Serves the metrics, and keeps them small while nobody asks.
pub(super) fn serve_metrics(
    (address, listener): Bound,
    metrics: Metrics,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let upkeep = metrics.clone();
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(UPKEEP_EVERY).await;
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

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Connections that the system may hold until they are accepted. The usual 128 is less than a fleet that wakes up at once.
const BACKLOG: u32 = 4096;

/// Takes this address for each of so many threads, among which the system shares out who connects: it wakes one of them, not all.
pub(super) fn listen_each(address: SocketAddr, threads: usize) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    // Not shared with anybody who has it already, nor with who comes later and does not look.
    let (address, first) = listen(address)?;
    let fail = |error| StartError::Listen { address, error };
    set_socket_reuseport(&first, true).map_err(|error| fail(error.into()))?;
    let others = (1..threads).map(|_| bind(address, true).map_err(fail));
    let all = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
    Ok((address, all))
}

/// Has the connections of these listeners send as fast as this congestion control decides (tcp(7), `TCP_CONGESTION`).
pub(super) fn control_congestion(listeners: &[TcpListener], name: &str) -> Result<(), StartError> {
    let set = listeners.iter().try_for_each(|listener| set_tcp_congestion(listener, name));
    set.map_err(|error| StartError::CongestionControl { name: name.to_owned(), error: error.into() })
}

/// Tries [`control_congestion`] on a socket of its own, which is closed at once.
pub(super) fn try_congestion(address: SocketAddr, name: &str) -> io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    Ok(set_tcp_congestion(&socket, name)?)
}

/// Takes this address. Clients that connect wait until it is served.
pub(super) fn listen(address: SocketAddr) -> Result<Bound, StartError> {
    let bound = bind(address, false).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|error| StartError::Listen { address, error })
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    // Of every connection that is accepted here: an answer is written whole, and waits for nothing.
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
    async fn connections_send_as_fast_as_their_listener_was_told_to() {
        let (address, listeners) = listen_each("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        // Every Linux has it.
        control_congestion(&listeners, "reno").unwrap();
        let _client = TcpStream::connect(address).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listeners[0].accept().unwrap();
        assert_eq!(tcp_congestion(&accepted).unwrap().trim_end_matches('\0'), "reno");
    }
}
