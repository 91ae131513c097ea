//! Composition, start and stop: builds a running server from the settings. Contains no rule about pulls.
//!
//! | module | content |
//! |---|---|
//! | [`components`] | opens the stores, starts the actors, fills the state of the routes |
//! | [`ports`] | the ports for clients and metrics, from when they are bound until they are served |
//! | [`keys`] | keys that sign login tokens and encrypt the passwords of groups' accounts |
//! | [`capacity`] | numbers of threads and connections, which depend on the machine |
//! | [`net`] | listeners, worker threads, connections, sockets, TLS |
//! | [`bootstrap`] | first start: the first administrator, group and deploy token |
//! | [`fleet`] | what a replica needs of the engines that it shares with others |
//! | [`reload`] | settings that can change without a restart |
//! | [`process`], [`signals`] | the process and its actix system; signals to stop and to reload |
//! | [`mod@check`], [`engine_check`], [`upstream_check`] | checks of the settings, of the engines of a fleet, and of the connection to a registry, for [`cli`](crate::cli) |
//! | [`error`] | errors that keep the service from starting |

mod bootstrap;
mod capacity;
mod check;
mod components;
mod engine_check;
mod error;
mod fleet;
mod keys;
mod net;
mod ports;
mod process;
mod reload;
mod signals;
mod upstream_check;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use futures::future::join;

pub use bootstrap::Bootstrapped;
pub use check::check;
pub use engine_check::check_engines;
pub use error::{StartError, TlsError};
pub use process::{raise_open_files, run};
pub use reload::Reloadable;
pub use upstream_check::{UpstreamCheckError, UpstreamStep, check_upstream, default_image};

use self::components::{Handles, SharedParts, Stores};
use self::fleet::Fleet;
use self::net::listeners;
use self::net::tls::Reload;
use self::net::workers::Workers;
use self::ports::{Ports, Served};
use self::signals::{Action, Signals};
use crate::actors::follower::FollowerHandle;
use crate::actors::janitor::JanitorHandle;
use crate::domain::deadlines;
use crate::domain::directory::Directory;
use crate::domain::upstream::Upstreams;
use crate::http::{Refusals, ReplicaState};
use crate::settings::Settings;
use crate::store::data_dir::DataDir;
use crate::store::fleet::FleetContent;
use crate::telemetry::Metrics;

/// A server that accepts connections.
pub struct RunningServer {
    /// The address on which it listens, with the port that the operating system chose if the settings have port 0.
    pub address: SocketAddr,
    /// The address of its metrics, unless they are switched off.
    pub metrics_address: Option<SocketAddr>,
    /// The records and files that were created because the store was empty.
    pub bootstrapped: Option<Bootstrapped>,
    workers: Workers,
    metrics: Option<ServerHandle>,
    /// Follows the changes of other replicas.
    follower: Option<FollowerHandle>,
    /// Serves the other replicas.
    replicas: Option<ServerHandle>,
    /// Content that replicas share, which has something to hand over at the stop.
    content: Option<Arc<FleetContent>>,
    /// Time that the stop has for responses under way.
    shutdown_timeout: Duration,
    stopping: Arc<AtomicBool>,
    janitor: JanitorHandle,
    refusals: Refusals,
    signals: Signals,
    reload_tls: Option<Reload>,
    reloadable: Reloadable,
    /// Lock on the data folder. The last field, so that it is released when nothing writes any more.
    _data: DataDir,
}

/// Opens the store, starts the actors and listens. Must be called within an actix system.
///
/// # Errors
/// The settings, the data folder, a port or a file that they name cannot be used.
pub async fn build(settings: Settings) -> Result<RunningServer, StartError> {
    let signals = Signals::listen().map_err(StartError::Signals)?;
    // The recorder comes before anything that is counted: a gauge must not see the end of something whose beginning
    // it missed.
    let metrics = settings.server.metrics_listen.map(|address| (address, Metrics::collected()));
    let data = DataDir::open(&settings.storage.data_dir)?.with_cache(&settings.storage.cache_dir)?;
    // The ports come before anything is created: a first start that cannot listen must not consume the message that
    // explains how to pull.
    let (ports, reload_tls) = Ports::open(&settings.server, metrics)?;
    let fleet = match &settings.fleet.shared() {
        Some(options) => Some(Fleet::open(&data, options).await?),
        None => None,
    };
    let registration = fleet.as_ref().map(|fleet| fleet.registration.clone());
    let started = start(settings, (signals, data), (ports, reload_tls), fleet).await;
    if let (Err(_), Some(registration)) = (&started, registration) {
        // Otherwise the others would wait at each change for a replica that is not there.
        registration.leave().await.ok();
    }
    started
}

/// Starts the actors and serves.
async fn start(
    settings: Settings,
    (signals, data): (Signals, DataDir),
    (ports, reload_tls): (Ports, Option<Reload>),
    fleet: Option<Fleet>,
) -> Result<RunningServer, StartError> {
    let handles = start_components(&data, &settings, fleet.as_ref()).await?;
    let (is_shared, shared) = (fleet.is_some(), handles.shared.clone());
    let replicas = fleet.map(|fleet| serve_replicas(&handles, fleet)).transpose()?;
    let bootstrapped =
        bootstrap::run(&data, &settings.bootstrap, &handles.policy, (&handles.tokens, is_shared)).await?;
    warn_of_missing_groups(&settings.pull_rules(), &handles.policy.directory());
    let (stopping, janitor) = (Arc::new(AtomicBool::new(false)), handles.janitor.clone());
    let (registry, api, reloadable) = handles.into_states(&settings, stopping.clone());
    let refusals = registry.refusals.clone();
    let Served { address, workers, metrics } = ports.serve(registry, api, &settings)?;
    let (metrics_address, metrics) = metrics.unzip();
    Ok(RunningServer {
        address,
        metrics_address,
        bootstrapped,
        workers,
        metrics,
        follower: shared.as_ref().map(|shared| shared.follower.clone()),
        replicas,
        content: shared.map(|shared| shared.content),
        shutdown_timeout: settings.server.shutdown_timeout,
        stopping,
        janitor,
        refusals,
        signals,
        reload_tls,
        reloadable,
        _data: data,
    })
}

impl RunningServer {
    /// Serves until the process receives a signal to stop, then lets transfers in progress finish and writes
    /// pending changes. SIGHUP calls `reload`, and reads the TLS files again if that returns true, which means that
    /// the settings are usable.
    pub async fn run(mut self, mut reload: impl FnMut(&Reloadable) -> bool) {
        let reporting = actix_rt::spawn(self.refusals.clone().keep_reporting());
        loop {
            match self.signals.next().await {
                Action::Stop => break,
                Action::Reload => {
                    let usable = reload(&self.reloadable);
                    self.reload_tls.iter().filter(|_| usable).for_each(Reload::now);
                }
                Action::Ignore => {}
            }
        }
        tracing::info!("stopping: running transfers may finish");
        let began = Instant::now();
        self.stopping.store(true, Ordering::Relaxed);
        self.workers.stop().await;
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        self.janitor.finish().await;
        let leave = async {
            if let Some(follower) = self.follower {
                follower.leave().await;
            }
            // Others that receive something from here go on by themselves at once: nobody waits for this replica now.
            if let Some(replicas) = self.replicas {
                replicas.stop(false).await;
            }
        };
        let hand_over = async {
            if let Some(content) = self.content {
                // What the steps before have not used of their time, and that of the leave.
                let limit = self.shutdown_timeout + deadlines::COMMIT + deadlines::CLOSE;
                let limit = limit.saturating_sub(began.elapsed()) + deadlines::LEAVE;
                content.hand_over(limit, deadlines::LEAVE).await;
            }
        };
        join(leave, hand_over).await;
        reporting.abort();
        self.refusals.report(true);
    }
}

/// Opens the stores and keys, and starts the actors over them.
async fn start_components(data: &DataDir, settings: &Settings, fleet: Option<&Fleet>) -> Result<Handles, StartError> {
    let stores = Stores::open(data, settings, fleet)?;
    let signer = keys::signer(data, settings, fleet)?;
    let account_keys = keys::of_accounts(data, settings, fleet)?;
    Handles::start(stores, (signer, account_keys), settings, fleet).await
}

/// Warns about accounts at upstreams that are reserved for groups which do not exist. With a misspelt path no group
/// gets the account.
fn warn_of_missing_groups(upstreams: &Upstreams, directory: &Directory) {
    for kept in upstreams.reserved_paths().filter(|kept| directory.group_at(kept.group).is_none()) {
        tracing::warn!(
            upstream = %kept.upstream,
            account = kept.account,
            group = %kept.group,
            "the settings keep an account for a group that does not exist"
        );
    }
}

/// Serves the other replicas.
fn serve_replicas(handles: &Handles, fleet: Fleet) -> Result<ServerHandle, StartError> {
    let replica = fleet.registration.id();
    let shared = handles.shared.clone().ok_or_else(|| StartError::Replicas("they were not started".to_owned()))?;
    let SharedParts { follower, downloads, manifests, .. } = shared;
    let blobs = handles.blobs().clone();
    let state = ReplicaState { follower, signing: fleet.signing, replica, blobs, downloads, manifests };
    listeners::serve_replicas(fleet.port, Data::new(state))
}
