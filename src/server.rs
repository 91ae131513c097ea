//! Puts the parts together: settings in, a running server out. Decides nothing about pulls.

mod admin_reset;
mod connections;
mod first_start;
mod options;
mod plain;
mod process;
mod restore;
mod stop_signals;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use actix_server::ServerBuilder;
use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};

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
use crate::http::{self, ApiState, PublicUrl, RegistryOptions, RegistryState};
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
    let data = DataDir::open(&settings.storage.data_dir)?;
    let leftovers = Leftovers::below(&[data.path(), &settings.storage.cache_dir]);
    let identities = Arc::new(IdentityStore::open(data.path())?);
    let index = Arc::new(Index::open(data.path(), &settings.storage.cache_dir)?);
    let manifest_store = Arc::new(ManifestStore::new(&settings.storage.cache_dir));
    let signer = signer(&data, &settings)?;

    let (identity_arbiter, manifest_arbiter) = (arbiter(), arbiter());
    let (blob_arbiter, upstream_arbiter) = (arbiter(), arbiter());
    let upstream = Upstream::start(options::upstreams(&settings.upstreams), &upstream_arbiter)?;
    let policy = Policy::start(identities.clone(), &identity_arbiter, MAX_WAITING_CHANGES)?;
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
    let state = Data::new(RegistryState {
        policy,
        tokens,
        manifests,
        blobs,
        lists: Lists::new(upstream),
        last_used,
        upstreams,
        public_url,
        options: RegistryOptions {
            service: settings.auth.service.clone(),
            token_advertised: settings.auth.token_advertised,
            public_groups,
            proxy_enabled: settings.proxy.enabled,
        },
    });
    let (address, listener) = listen(server.listen)?;
    let public = serve(state, api, &settings, listener, address)?;
    let metrics = server.metrics_listen.map(serve_metrics).transpose()?;
    let (metrics_address, metrics) = metrics.unzip();
    Ok(RunningServer { address, metrics_address, first_start, public, metrics, tidying, stop, _data: data })
}

const MAX_WAITING_CHANGES: usize = 1024;

impl RunningServer {
    /// A handle with which the server can be stopped.
    pub fn handle(&self) -> ServerHandle {
        self.public.handle()
    }

    /// Serves until the process is told to stop, then lets running transfers finish and writes what waits.
    pub async fn run(self) -> io::Result<()> {
        actix_rt::spawn(self.stop.wait_and_stop(self.public.handle()));
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

fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), StartError> {
    let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|error| StartError::Listen { address, error })
}

fn serve(
    state: Data<RegistryState>,
    api: Data<ApiState>,
    settings: &Settings,
    listener: TcpListener,
    address: SocketAddr,
) -> Result<actix_web::dev::Server, StartError> {
    let app = move || {
        let app = App::new().app_data(state.clone()).app_data(api.clone());
        app.app_data(web::PayloadConfig::new(MAX_BODY_BYTES)).configure(http::configure)
    };
    let (options, workers) = (&settings.server, options::workers(&settings.server));
    let per_worker = options.max_connections.get().div_ceil(workers);
    let (stop_within, failed) = (options.shutdown_timeout.as_secs(), |error| StartError::Listen { address, error });
    let Some(files) = options.tls.clone() else {
        let server = ServerBuilder::default().workers(workers).max_concurrent_connections(per_worker);
        return plain::listen(server.shutdown_timeout(stop_within).disable_signals(), listener, address, app)
            .map_err(failed);
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .tcp_nodelay(true)
        .max_connections(per_worker)
        .h1_write_buffer_size(connections::ONE_PIECE)
        .on_connect(|_, data| connections::count(data));
    let server = server.shutdown_timeout(stop_within).disable_signals();
    Ok(server.listen_rustls_0_23(listener, tls::config(files)?).map_err(failed)?.run())
}

/// Requests carry credentials and small forms at most.
const MAX_BODY_BYTES: usize = 1 << 20;

fn serve_metrics(address: SocketAddr) -> Result<(SocketAddr, ServerHandle), StartError> {
    let (address, listener) = listen(address)?;
    let metrics = Metrics::collected();
    let upkeep = metrics.clone();
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(std::time::Duration::from_secs(5)).await;
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
