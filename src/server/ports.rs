//! The ports for clients and metrics, from when they are bound until they are served. Who connects between the two
//! waits.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use rustls::ServerConfig;

use super::net::listeners::{self, Bound};
use super::net::tls::{self, Reload};
use super::net::workers::Workers;
use super::{StartError, capacity, process};
use crate::http::{ApiState, Console, RegistryState};
use crate::settings::{Server, Settings};
use crate::telemetry::Metrics;

/// Ports that are bound.
pub(super) struct Ports {
    /// The address for clients, with one listener for each worker.
    clients: (SocketAddr, Vec<TcpListener>),
    tls: Option<ServerConfig>,
    metrics: Option<(Bound, Metrics)>,
}

/// Ports that are served.
pub(super) struct Served {
    /// The address for clients.
    pub(super) address: SocketAddr,
    pub(super) workers: Workers,
    /// The address of the metrics, unless they are switched off.
    pub(super) metrics: Option<(SocketAddr, ServerHandle)>,
}

impl Ports {
    /// Reads the TLS files, and binds the port for clients and that for these metrics. Also returns what reads the TLS
    /// files again; `None` without TLS.
    ///
    /// # Errors
    /// A file cannot be used, or a port is in use.
    pub(super) fn open(
        server: &Server,
        metrics: Option<(SocketAddr, Metrics)>,
    ) -> Result<(Self, Option<Reload>), StartError> {
        let (tls, reload_tls) = server.tls().map(tls::config).transpose()?.unzip();
        let clients = listeners::listen_each(server.listen, capacity::workers(server))?;
        if let Some(name) = &server.tcp_congestion_control {
            listeners::control_congestion(&clients.1, name)?;
        }
        let metrics = match metrics {
            Some((address, metrics)) => Some((listeners::listen(address)?, metrics)),
            None => None,
        };
        Ok((Self { clients, tls, metrics }, reload_tls))
    }

    /// Serves the routes with these states, the console, and the metrics.
    ///
    /// # Errors
    /// A listener cannot be used.
    pub(super) fn serve(
        self,
        registry: RegistryState,
        api: ApiState,
        settings: &Settings,
    ) -> Result<Served, StartError> {
        let (api, address) = (Data::new(api), self.clients.0);
        let (console, make_pages) = Console::new(api.clone());
        process::low_priority_arbiter().spawn_fn(|| drop(actix_rt::spawn(make_pages())));
        let routes = (api, Data::new(console));
        let workers = listeners::serve_clients(Data::new(registry), routes, settings, self.tls, self.clients)?;
        let metrics = self.metrics.map(|(port, metrics)| listeners::serve_metrics(port, metrics)).transpose()?;
        Ok(Served { address, workers, metrics })
    }
}
