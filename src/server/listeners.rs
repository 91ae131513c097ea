//! The two ports: one for clients, one for Prometheus.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_server::ServerBuilder;
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use super::{StartError, connections, options, plain};
use crate::http::{self, ApiState, RegistryState};
use crate::settings::Server;
use crate::telemetry::Metrics;

/// A port that is this service's, with the number that the system chose where none was given.
pub(super) type Bound = (SocketAddr, TcpListener);

/// Serves clients on this port, over TLS where it is given.
pub(super) fn serve_clients(
    state: Data<RegistryState>,
    api: Data<ApiState>,
    settings: &Server,
    tls: Option<ServerConfig>,
    (address, listener): Bound,
) -> Result<actix_web::dev::Server, StartError> {
    let app = move || {
        let app = App::new().app_data(state.clone()).app_data(api.clone());
        app.app_data(web::PayloadConfig::new(MAX_BODY_BYTES)).configure(http::configure)
    };
    let workers = options::workers(settings);
    let per_worker = settings.max_connections.get().div_ceil(workers);
    let (stop_within, failed) = (settings.shutdown_timeout.as_secs(), |error| StartError::Listen { address, error });
    let Some(tls) = tls else {
        let server = ServerBuilder::default().workers(workers).max_concurrent_connections(per_worker);
        let server = server.shutdown_timeout(stop_within).disable_signals();
        return plain::listen(server, listener, address, settings.client_timeout, app).map_err(failed);
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .tcp_nodelay(true)
        .max_connections(per_worker)
        .h1_write_buffer_size(connections::ONE_PIECE)
        .on_connect(|_, data| connections::count(data));
    let server = server.shutdown_timeout(stop_within).disable_signals();
    Ok(server.listen_rustls_0_23(listener, tls).map_err(failed)?.run())
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
    let server = HttpServer::new(move || App::new().route("/metrics", web::get().to(render.clone())));
    let server = server.workers(1).disable_signals().listen(listener);
    let server = server.map_err(|error| StartError::Listen { address, error })?.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((address, handle))
}

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Connections that the system may hold until they are accepted. The usual 128 is less than a fleet that wakes up at once.
const BACKLOG: u32 = 4096;

/// Takes this address. Clients that connect wait until it is served.
pub(super) fn listen(address: SocketAddr) -> Result<Bound, StartError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        Ok((listener.local_addr()?, listener))
    };
    bind().map_err(|error| StartError::Listen { address, error })
}
