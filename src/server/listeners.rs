//! The two ports: one for clients, one for Prometheus.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_server::ServerBuilder;
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use tokio::net::TcpSocket;

use super::{StartError, connections, options, plain, tls};
use crate::http::{self, ApiState, RegistryState};
use crate::settings::Server;
use crate::telemetry::Metrics;

/// Serves clients, over TLS where the settings say so.
pub(super) fn serve_clients(
    state: Data<RegistryState>,
    api: Data<ApiState>,
    settings: &Server,
) -> Result<(SocketAddr, actix_web::dev::Server), StartError> {
    let (address, listener) = listen(settings.listen)?;
    let app = move || {
        let app = App::new().app_data(state.clone()).app_data(api.clone());
        app.app_data(web::PayloadConfig::new(MAX_BODY_BYTES)).configure(http::configure)
    };
    let workers = options::workers(settings);
    let per_worker = settings.max_connections.get().div_ceil(workers);
    let (stop_within, failed) = (settings.shutdown_timeout.as_secs(), |error| StartError::Listen { address, error });
    let Some(files) = settings.tls.clone() else {
        let server = ServerBuilder::default().workers(workers).max_concurrent_connections(per_worker);
        let server = server.shutdown_timeout(stop_within).disable_signals();
        return Ok((address, plain::listen(server, listener, address, app).map_err(failed)?));
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .tcp_nodelay(true)
        .max_connections(per_worker)
        .h1_write_buffer_size(connections::ONE_PIECE)
        .on_connect(|_, data| connections::count(data));
    let server = server.shutdown_timeout(stop_within).disable_signals();
    Ok((address, server.listen_rustls_0_23(listener, tls::config(files)?).map_err(failed)?.run()))
}

/// Requests carry credentials and small forms at most; strangers, too, may send as much on every connection.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Serves the metrics, and keeps them small while nobody asks.
pub(super) fn serve_metrics(address: SocketAddr, metrics: Metrics) -> Result<(SocketAddr, ServerHandle), StartError> {
    let (address, listener) = listen(address)?;
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

fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), StartError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        Ok((listener.local_addr()?, listener))
    };
    bind().map_err(|error| StartError::Listen { address, error })
}
