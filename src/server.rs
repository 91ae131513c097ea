//! Puts the parts together: settings in, a running server out. Decides nothing about pulls.

mod admin_reset;
mod connections;
mod first_start;
mod listeners;
mod options;
mod plain;
mod process;
mod restore;
mod stop_signals;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_rt::{Arbiter, ArbiterHandle};
use actix_web::dev::ServerHandle;
use actix_web::web::Data;

pub use admin_reset::{AdminReset, ResetError, reset_admin};
pub use first_start::FirstStart;
pub use process::{RunError, run};
pub use restore::{RestoreError, Restored, restore};
pub use tls::TlsError;

use self::stop_signals::StopSignals;
use crate::actors::blob_cache::Blobs;
use crate::actors::janitor::{Parts, Tidying};
use crate::actors::last_used::LastUsed;
use crate::actors::lists::Lists;
use crate::actors::manifests::Manifests;
use crate::actors::policy_evaluator::Policy;
use crate::actors::token_issuer::Tokens;
use crate::actors::upstream_fetcher::Upstream;
use crate::auth::jwt::{KeyError, KeySet, Signer};
use crate::http::{ApiState, PublicUrl, RegistryOptions, RegistryState};
use crate::settings::Settings;
use crate::store::blobs::BlobFiles;
use crate::store::data_dir::DataDir;
use crate::store::durable::Leftovers;
use crate::store::error::{OpenError, StoreError};
use crate::store::identity::IdentityStore;
use crate::store::index::Index;
use crate::store::manifests::ManifestStore;
use crate::store::spool::Spool;
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
    public: actix_web::dev::Server,
    metrics: Option<ServerHandle>,
    stopping: Arc<AtomicBool>,
    tidying: Tidying,
    stop: StopSignals,
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
    let stop = StopSignals::listen().map_err(StartError::Signals)?;
    // Before anything is counted: what was not seen to begin must not be seen to end.
    let metrics = settings.server.metrics_listen.map(|address| (address, Metrics::collected()));
    let data = DataDir::open(&settings.storage.data_dir)?.with_folder(&settings.storage.cache_dir)?;
    // Before anything is made: a first start that cannot listen must not be the one that tells how to pull.
    let tls = settings.server.tls.clone().map(tls::config).transpose()?;
    let clients = listeners::listen(settings.server.listen)?;
    let metrics = match metrics {
        Some((address, metrics)) => Some((listeners::listen(address)?, metrics)),
        None => None,
    };
    let leftovers = Leftovers::below(&[data.path(), &settings.storage.cache_dir]);
    let identities = Arc::new(IdentityStore::open(data.path())?);
    let index = Arc::new(Index::open(data.path(), &settings.storage.cache_dir)?);
    let manifest_store = Arc::new(ManifestStore::new(&settings.storage.cache_dir));
    let signer = signer(&data, &settings)?;

    let (identity_arbiter, manifest_arbiter) = (arbiter(), arbiter());
    let (blob_arbiter, upstream_arbiter) = (arbiter(), arbiter());
    let upstream = Upstream::start(options::upstreams(&settings.upstreams), &upstream_arbiter)?;
    let policy = Policy::start(identities.clone(), &identity_arbiter, settings.storage.max_waiting_changes.get())?;
    let last_used = LastUsed::new(identities.last_used()?);
    let public_groups = settings.auth.public_groups;
    let passwords = options::passwords(&settings.auth);
    let tokens = Tokens::start(passwords, policy.clone(), signer, public_groups, &identity_arbiter);
    let manifest_options = options::manifests(&settings.cache);
    let manifests =
        Manifests::start(manifest_options, upstream.clone(), index.clone(), manifest_store, &manifest_arbiter);
    let files = BlobFiles::open(&settings.storage.cache_dir, options::min_free(settings.storage.min_free))?;
    let spool = Spool::open(&settings.storage.cache_dir)?;
    let blob_options = options::blobs(&settings.cache);
    let blobs =
        Blobs::start(&blob_arbiter, Arc::new(upstream.clone()), index.clone(), files.clone(), spool, blob_options);
    let parts = Parts {
        policy: policy.clone(),
        last_used: last_used.clone(),
        manifests: manifests.clone(),
        blobs: blobs.clone(),
        identities,
        index,
        files,
        leftovers,
    };
    let tidying = Tidying::start(parts, &identity_arbiter);
    let first_start = first_start::run(&data, &settings.bootstrap, &policy, &tokens).await?;

    let server = &settings.server;
    let upstreams = Arc::new(settings.upstreams.world());
    let public_url = PublicUrl::new(server.external_url.as_ref(), server.trusted_proxies.clone(), server.tls.is_some());
    let api = Data::new(ApiState {
        policy: policy.clone(),
        tokens: tokens.clone(),
        last_used: last_used.clone(),
        purge: Arc::new(tidying.clone()),
        upstreams: upstreams.clone(),
        public_groups,
        proxy_enabled: settings.proxy.enabled,
        public_url: public_url.clone(),
    });
    let stopping = Arc::new(AtomicBool::new(false));
    let state = Data::new(RegistryState {
        policy,
        tokens,
        manifests,
        blobs,
        lists: Lists::new(upstream),
        last_used,
        upstreams,
        stopping: stopping.clone(),
        public_url,
        options: RegistryOptions {
            service: settings.auth.service.clone(),
            token_advertised: settings.auth.token_advertised,
            public_groups,
            proxy_enabled: settings.proxy.enabled,
        },
    });
    let address = clients.0;
    let public = listeners::serve_clients(state, api, server, tls, clients)?;
    let metrics = metrics.map(|(port, metrics)| listeners::serve_metrics(port, metrics)).transpose()?;
    let (metrics_address, metrics) = metrics.unzip();
    Ok(RunningServer { address, metrics_address, first_start, public, metrics, stopping, tidying, stop, _data: data })
}

impl RunningServer {
    /// A handle with which the server can be stopped.
    pub fn handle(&self) -> ServerHandle {
        self.public.handle()
    }

    /// Serves until the process is told to stop, then lets running transfers finish and writes what waits.
    pub async fn run(self) -> io::Result<()> {
        actix_rt::spawn(self.stop.wait_and_stop(self.public.handle(), self.stopping));
        let served = self.public.await;
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        self.tidying.finish().await;
        served
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

/// A thread of its own for some actors, with its event loop.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}
