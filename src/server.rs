//! Puts the parts together: settings in, a running server out. Decides nothing about pulls.

mod addresses;
mod admin_reset;
mod blocked;
mod check;
mod clients;
mod connections;
mod first_start;
mod framing;
mod half_closed;
mod idlers;
mod listeners;
mod mistaken_tls;
mod options;
mod parts;
mod patience;
mod process;
mod reload;
mod restore;
mod sequence;
mod signals;
mod socket;
mod tls;
mod turnover;
mod unread;
mod upstream_check;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::web::Data;

pub use admin_reset::{AdminReset, ResetError, reset_admin};
pub use check::check;
pub use first_start::FirstStart;
pub use process::{raise_open_files, run};
pub use reload::Reloadable;
pub use restore::{Comparison, PlannedRestore, RestoreError, Restored, plan_restore};
pub use tls::TlsError;
pub use upstream_check::{UpstreamCheckError, UpstreamStep, check_upstream, default_image};

use self::parts::{Handles, Stores};
use self::signals::{Signals, Told};
use self::tls::Reload;
use self::workers::Workers;
use crate::actors::janitor::Tidying;
use crate::auth::jwt::{KeyError, KeySet, Signer};
use crate::domain::directory::Directory;
use crate::domain::upstream::Upstreams;
use crate::http::Refusals;
use crate::settings::Settings;
use crate::store::data_dir::DataDir;
use crate::store::error::{OpenError, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::SetupError;

/// A server that accepts connections.
pub struct RunningServer {
    /// Where it listens, with the port that the system chose where none was given.
    pub address: SocketAddr,
    /// Where its metrics are, unless they are switched off.
    pub metrics_address: Option<SocketAddr>,
    /// What was made because the store was empty.
    pub first_start: Option<FirstStart>,
    workers: Workers,
    metrics: Option<ServerHandle>,
    stopping: Arc<AtomicBool>,
    tidying: Tidying,
    refusals: Refusals,
    signals: Signals,
    reload_tls: Option<Reload>,
    reloadable: Reloadable,
    /// Given back last, when nothing writes any more.
    _data: DataDir,
}

/// Why the server does not start. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of data, or something in it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An upstream's settings.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The key file.
    #[error("the keys that sign tokens, {}: {error}", path.display())]
    Keys {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system does not have, or does not allow, this way of deciding how fast to send.
    #[error(
        "server.tcp_congestion_control: the system does not let this service use '{name}': {error}; \
         sysctl net.ipv4.tcp_allowed_congestion_control names those it may"
    )]
    CongestionControl {
        /// What it is called.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody could tell the process to stop.
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    /// The files of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first records could not be made.
    #[error("the first administrator could not be made: {0}")]
    FirstStart(String),
}

/// Opens the store, starts the actors and listens. Must be called within an actix system.
pub async fn build(settings: Settings) -> Result<RunningServer, StartError> {
    let signals = Signals::listen().map_err(StartError::Signals)?;
    // Before anything is counted: what was not seen to begin must not be seen to end.
    let metrics = settings.server.metrics_listen.map(|address| (address, Metrics::collected()));
    let data = DataDir::open(&settings.storage.data_dir)?.with_cache(&settings.storage.cache_dir)?;
    // Before anything is made: a first start that cannot listen must not be the one that tells how to pull.
    let (tls, reload_tls) = settings.server.tls.clone().map(tls::config).transpose()?.unzip();
    let clients = listeners::listen_each(settings.server.listen, options::workers(&settings.server))?;
    if let Some(name) = &settings.server.tcp_congestion_control {
        listeners::control_congestion(&clients.1, name)?;
    }
    let metrics = match metrics {
        Some((address, metrics)) => Some((listeners::listen(address)?, metrics)),
        None => None,
    };
    let stores = Stores::open(&data, &settings)?;
    let signer = signer(&data, &settings)?;
    let handles = Handles::start(stores, signer, &settings)?;
    let first_start = first_start::run(&data, &settings.bootstrap, &handles.policy, &handles.tokens).await?;
    warn_of_missing_groups(&settings.upstreams.world(), &handles.policy.directory());
    let (stopping, tidying) = (Arc::new(AtomicBool::new(false)), handles.tidying.clone());
    let (registry, api, reloadable) = handles.into_states(&settings, stopping.clone());
    let (address, refusals) = (clients.0, registry.refusals.clone());
    let workers = listeners::serve_clients(Data::new(registry), Data::new(api), &settings, tls, clients)?;
    let metrics = metrics.map(|(port, metrics)| listeners::serve_metrics(port, metrics)).transpose()?;
    let (metrics_address, metrics) = metrics.unzip();
    Ok(RunningServer {
        address,
        metrics_address,
        first_start,
        workers,
        metrics,
        stopping,
        tidying,
        refusals,
        signals,
        reload_tls,
        reloadable,
        _data: data,
    })
}

impl RunningServer {
    /// Serves until the process is told to stop, then lets running transfers finish and writes what waits. SIGHUP calls
    /// `reload`, and re-reads the files of TLS where that says that the settings are usable.
    pub async fn run(mut self, mut reload: impl FnMut(&Reloadable) -> bool) {
        let reporting = actix_rt::spawn(self.refusals.clone().keep_reporting());
        loop {
            match self.signals.next().await {
                Told::Stop => break,
                Told::Reload => {
                    let usable = reload(&self.reloadable);
                    self.reload_tls.iter().filter(|_| usable).for_each(Reload::now);
                }
                Told::Nothing => {}
            }
        }
        tracing::info!("stopping: running transfers may finish");
        self.stopping.store(true, Ordering::Relaxed);
        self.workers.stop().await;
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        self.tidying.finish().await;
        reporting.abort();
        self.refusals.report(true);
    }
}

/// Warns of accounts at upstreams that are kept for groups which do not exist: a misspelt path gives nobody the
/// account.
fn warn_of_missing_groups(upstreams: &Upstreams, directory: &Directory) {
    for kept in upstreams.kept_paths().filter(|kept| directory.group_at(kept.group).is_none()) {
        tracing::warn!(
            upstream = %kept.upstream,
            account = kept.account,
            group = %kept.group,
            "the settings keep an account for a group that does not exist"
        );
    }
}

/// The signer with the keys of the key file, which is made where there is none.
fn signer(data: &DataDir, settings: &Settings) -> Result<Signer, StartError> {
    let path = settings.auth.key_file_in(&settings.storage);
    let text = data.read_or_make(&path, || KeySet::generate().to_json())?;
    let lifetime = i64::try_from(settings.auth.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let signer = KeySet::from_json(&text).and_then(|keys| Signer::new(&keys, &settings.auth.service, lifetime));
    signer.map_err(|error| StartError::Keys { path, error })
}
