//! The engines that a replica shares with others: opened at the start, before the identities are read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::net::listeners::{self, Bound as BoundPort};
use crate::actors::follower::Follower;
use crate::actors::policy_evaluator::{Confirmer, PolicyEvaluatorHandle, Shared, Validity, machine_time};
use crate::actors::replica_signing::ReplicaSigning;
use crate::actors::shared_downloads::SharedDownloads;
use crate::actors::shared_manifests::SharedManifests;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::auth::fleet_secret::{FleetSecret, Purpose};
use crate::auth::jwt::{KeyError, KeySet};
use crate::auth::random;
use crate::domain::fleet::validity::{Bound, MachineTime};
use crate::domain::id::ReplicaId;
use crate::settings::SharedEngines;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::data_dir::DataDir;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::{
    Bucket, ChangeLog, Claims, Database, FailedLogins, FleetContent, FleetIdentities, FleetSessions, FleetTraffic,
    LiveReplicas, Registration, SecretFileError, UpstreamReports, read_secret,
};
use crate::upstream::replicas::ReplicaClient;

/// The shared engines, opened, with the registration of this replica.
pub(super) struct Fleet {
    database: Database,
    live: LiveReplicas,
    pub(super) identities: FleetIdentities,
    pub(super) log: ChangeLog,
    pub(super) registration: Registration,
    /// A time before the registration.
    registered: MachineTime,
    claims: Claims,
    bucket: Bucket,
    pub(super) signing: ReplicaSigning,
    pub(super) bound: Bound,
    pub(super) without_database: Duration,
    /// The port for other replicas.
    pub(super) port: BoundPort,
    secret: Arc<FleetSecret>,
    secret_file: PathBuf,
}

/// File in the data folder with the id of the replica.
const ID_FILE: &str = "replica-id";

impl Fleet {
    /// Connects to the engines, and registers this replica.
    ///
    /// # Errors
    /// A file cannot be read, the database cannot be reached, or the object store cannot hold a change log.
    pub(super) async fn open(data: &DataDir, options: &SharedEngines) -> Result<Self, StartError> {
        let secret = Arc::new(secret(&options.secret_file)?);
        let id = replica_id(data)?;
        warn_of_own_identities(data.path());
        let port = listeners::listen(options.listen)?;
        let database = Database::connect(&options.database).await?;
        database.check_secret(&secret.ids()).await?;
        let instance = hex::encode(random::bytes::<16>());
        let identities = FleetIdentities::new(database.clone(), (id, instance.clone()), options.bound);
        let log = ChangeLog::new(&options.bucket, &identities, secret.clone())?;
        check_log(&log, &identities).await?;
        let (claims, bucket) =
            (Claims::new(database.clone(), id), Bucket::new(&options.bucket, options.redirect_endpoint.as_ref())?);
        let times = (options.bound, options.without_database);
        let address = (options.address.clone(), port.0.port());
        let registration = Registration::new(database.clone(), (id, instance), address, times);
        database.note_secret(&secret.ids()).await?;
        let registered = machine_time();
        let address = registration.register().await?;
        tracing::info!(replica = %id, address, "registered as a replica");
        let signing = ReplicaSigning::new(secret.clone());
        let (bound, without_database) = (options.bound, options.without_database);
        let secret_file = options.secret_file.clone();
        Ok(Self {
            database,
            live: LiveReplicas::default(),
            identities,
            log,
            registration,
            registered,
            claims,
            bucket,
            signing,
            bound,
            without_database,
            port,
            secret,
            secret_file,
        })
    }

    /// Returns what the policy evaluator needs.
    ///
    /// # Errors
    /// The client for other replicas cannot be made.
    pub(super) fn shared(&self) -> Result<Shared, StartError> {
        let confirmer = Confirmer::new(self.identities.clone(), self.log.clone(), self.client()?);
        Ok(Shared { confirmer, validity: Validity::bounded() })
    }

    /// Returns what the follower of this directory works with.
    pub(super) fn follower(&self, policy: PolicyEvaluatorHandle) -> Follower {
        Follower {
            policy,
            identities: self.identities.clone(),
            log: self.log.clone(),
            claims: self.claims.clone(),
            registration: self.registration.clone(),
            registered: self.registered,
            bound: self.bound,
            without_database: self.without_database,
        }
    }

    /// Returns the downloads from this upstream that replicas share.
    ///
    /// # Errors
    /// The client for other replicas cannot be made.
    pub(super) fn downloads(
        &self,
        upstream: UpstreamHandle,
        content: ContentStore,
    ) -> Result<SharedDownloads, StartError> {
        Ok(SharedDownloads::new(upstream, self.claims.clone(), self.client()?, content))
    }

    /// Starts to share what this machine has stored.
    pub(super) fn content(&self, content: Arc<EmbeddedContent>, files: BlobFiles) -> FleetContent {
        let engines = (self.database.clone(), self.bucket.clone(), self.claims.clone());
        FleetContent::start(engines, self.registration.id(), content, files)
    }

    /// Returns the requests for manifests that replicas share; they are kept in this store.
    ///
    /// # Errors
    /// The client for other replicas cannot be made.
    pub(super) fn manifests(&self, store: ContentStore) -> Result<SharedManifests, StartError> {
        Ok(SharedManifests::new(self.claims.clone(), self.client()?, store))
    }

    /// Returns the failed logins of all replicas.
    pub(super) fn failed_logins(&self) -> FailedLogins {
        FailedLogins::new(self.database.clone(), self.live.clone())
    }

    /// Returns the sessions of the console.
    pub(super) fn sessions(&self) -> FleetSessions {
        FleetSessions::new(self.database.clone())
    }

    /// Returns the reports of upstreams about their limits.
    pub(super) fn upstream_reports(&self) -> UpstreamReports {
        UpstreamReports::new((self.database.clone(), self.registration.id()), self.live.clone())
    }

    /// Returns the traffic of groups.
    pub(super) fn traffic(&self) -> FleetTraffic {
        FleetTraffic::new(self.database.clone())
    }

    /// Returns a client for other replicas. Its connections belong to the thread that uses it.
    fn client(&self) -> Result<ReplicaClient, StartError> {
        let client = ReplicaClient::new(Arc::new(self.signing.clone()));
        client.map_err(|error| StartError::Replicas(error.to_string()))
    }

    /// Returns the file of the secret.
    pub(super) fn secret_file(&self) -> &Path {
        &self.secret_file
    }

    /// Returns the keys for a purpose, the same on all replicas.
    pub(super) fn keys(&self, purpose: Purpose) -> Result<KeySet, KeyError> {
        let keys = self.secret.keys(purpose);
        keys.check().map(|()| keys)
    }
}

/// Checks that the object store can hold the change log, and that the log is that of these identities. The start goes
/// on without an object store that does not respond.
async fn check_log(log: &ChangeLog, identities: &FleetIdentities) -> Result<(), StoreError> {
    let usable = async {
        log.check().await?;
        log.verify(identities).await
    };
    match usable.await {
        Ok((_, false)) => {}
        // It has no identities of the history before, by which it would notice that later.
        Ok((state, true)) => tracing::error!(
            found = %state.version,
            "the database was restored to an earlier state while this replica was stopped: credentials that were revoked \
             since are valid again. Another history of changes begins"
        ),
        Err(error @ StoreError::Fleet(FleetError::Unsuitable(_))) => return Err(error),
        Err(error @ StoreError::Fleet(FleetError::OtherSignature(_))) => {
            tracing::warn!(%error, "the change log cannot be used: without the database this replica refuses everything")
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "the object store does not respond: changes take longer until it does. Look at fleet.bucket_endpoint"
            )
        }
    }
    Ok(())
}

/// Returns the id of this replica, which is kept in its data folder: the lock of the folder proves that no other
/// process has it, so that a replica that starts again takes the place of the one before.
fn replica_id(data: &DataDir) -> Result<ReplicaId, StartError> {
    let path = data.path().join(ID_FILE);
    let id = || Ok::<_, StoreError>(format!("{}\n", ReplicaId::from_random(random::bytes())));
    let text = data.read_or_make(&path, id)?;
    text.trim().parse().map_err(|_| StartError::ReplicaId(path))
}

/// Reads the secret that all replicas share.
///
/// # Errors
/// The file cannot be read, others have access to it, or it has no secret.
pub(super) fn secret(path: &Path) -> Result<FleetSecret, StartError> {
    read_secret(path).map_err(|error| match error {
        SecretFileError::File(error) => error.into(),
        problem @ (SecretFileError::Missing | SecretFileError::Loose(_) | SecretFileError::Content(_)) => {
            StartError::FleetSecret { path: path.to_owned(), problem: problem.to_string() }
        }
    })
}

/// Warns about identities in the data folder, which a replica does not use.
fn warn_of_own_identities(data: &Path) {
    let journal = data.join("identity.journal");
    if journal.exists() {
        tracing::warn!(
            file = %journal.display(),
            "the users, groups and tokens in this data folder are not used: fleet.database_url names a database that has others"
        );
    }
}
