//! The components of a server: its stores, the handles of its actors, and the state that the routes get.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;

use super::{Reloadable, StartError};
use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::{BlobCacheHandle, GroupQuotas};
use crate::actors::evictor::Evictor;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::Images;
use crate::actors::janitor::{JanitorHandle, Parts, Trims};
use crate::actors::last_used::LastUsed;
use crate::actors::lists::Lists;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::policy_evaluator::{Edited, PolicyEvaluatorHandle};
use crate::actors::pull_records::PullRecords;
use crate::actors::pulls::PullCounts;
use crate::actors::reads::Reads;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::traffic::TrafficCounts;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::actors::warming::Warmer;
use crate::auth::jwt::Signer;
use crate::auth::sealing::SealingKeys;
use crate::domain::audit::changes::Origin;
use crate::domain::audit::{Author, Who};
use crate::domain::commands::upstream_account;
use crate::domain::group::Group;
use crate::http::{
    ApiState, CurrentUpstreams, Identities, Pace, PublicUrl, Refusals, RegistryOptions, RegistryState, SessionTimes,
    Sessions,
};
use crate::settings::Settings;
use crate::store::atomic_file::TempFileSweep;
use crate::store::audit_file::AuditFile;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::data_dir::DataDir;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::index::Index;
use crate::store::error::OpenError;
use crate::store::free_space::FreeSpace;
use crate::store::identities::IdentityStore;
use crate::store::manifests::ManifestStore;
use crate::store::spool::Spool;
use crate::store::usage::Usage;

/// All stores on disk, opened.
pub(super) struct Stores {
    leftovers: TempFileSweep,
    identities: IdentityStore,
    content: ContentStore,
    files: BlobFiles,
    spool: Spool,
}

/// The handles of all actors, which are running.
pub(super) struct Handles {
    /// Handle of the writer of identities, with the current directory.
    pub(super) policy: PolicyEvaluatorHandle,
    /// Checks logins and issues tokens.
    pub(super) tokens: TokenIssuerHandle,
    /// Handle of the janitor, which runs background tasks.
    pub(super) tidying: JanitorHandle,
    audit: AuditTrail,
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
    lists: Lists,
    last_used: LastUsed,
    images: Images,
    reads: Reads,
    pulls: PullCounts,
    traffic: TrafficCounts,
    upstream: UpstreamHandle,
    accounts: GroupAccounts,
    /// The upstreams that the routes use.
    world: CurrentUpstreams,
    warmer: Warmer,
}

/// The caches of manifests, blobs and lists, which are running, and what they share with other components.
struct Caches {
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
    lists: Lists,
    reads: Reads,
    evictor: Evictor,
}

impl Stores {
    /// Opens the stores and creates those that are missing.
    ///
    /// # Errors
    /// A folder or a database cannot be opened.
    pub(super) fn open(data: &DataDir, settings: &Settings) -> Result<Self, StartError> {
        let storage = &settings.storage;
        let (cache, open) = (&storage.cache_dir, settings.cache.open_blobs.get());
        let free_space = |folder: &Path| FreeSpace::new(folder, storage.min_free).beside_identities(data.path());
        let refused = |error: OpenError| error.with_key_file(settings.auth.key_file.as_deref());
        let identities = EmbeddedIdentities::open(data.path()).map_err(refused)?;
        let usage = Usage::default();
        let index = Index::open(data.path(), cache)?.counted_in(&usage);
        let index = index.within(vec![free_space(cache), free_space(data.path())]);
        let manifests = ManifestStore::new(cache).within(free_space(cache)).counted_in(usage.clone());
        let files = BlobFiles::open(cache, storage.min_free, open)?.beside_identities(data.path());
        Ok(Self {
            leftovers: TempFileSweep::below(&[data.path(), cache]),
            identities: IdentityStore::embedded(identities),
            content: ContentStore::embedded(EmbeddedContent::new(index, manifests)),
            files: files.within(storage.max_bytes, usage),
            spool: Spool::open(cache)?,
        })
    }
}

impl Handles {
    /// Starts the actors over these stores, each kind on a thread of its own.
    ///
    /// # Errors
    /// The settings of an upstream cannot be used, or the store cannot be read.
    pub(super) async fn start(
        stores: Stores,
        (signer, account_keys): (Signer, SealingKeys),
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let Stores { leftovers, identities, content, files, spool } = stores;
        let identity_arbiter = arbiter();
        let upstream = UpstreamHandle::start(
            settings.upstreams.iter().cloned().collect(),
            settings.proxy.network_mode,
            &arbiter(),
        )?;
        let max_waiting = settings.storage.max_waiting_changes.get();
        let policy = PolicyEvaluatorHandle::start(identities.clone(), &identity_arbiter, max_waiting).await?;
        let world = CurrentUpstreams::new(ArcSwap::from_pointee(settings.world()));
        let accounts = follow_accounts(&policy, account_keys, upstream.clone(), world.clone()).await?;
        let audit_file = settings.audit.file.as_deref().map(|file| AuditFile::new(file, &settings.storage.data_dir));
        let audit = AuditTrail::new(identities.clone(), settings.audit.events, audit_file);
        let last_used = LastUsed::new(identities.last_used().await?, settings.audit.address_days);
        let (passwords, public_groups) = (settings.auth.passwords.clone(), settings.auth.public_groups);
        let tokens = TokenIssuerHandle::start(passwords, policy.clone(), signer, public_groups, &identity_arbiter);
        let quotas = {
            let policy = policy.clone();
            Arc::new(move |group| policy.at_present().group(group)?.cache.max_bytes)
        };
        let caches = Caches::start(&upstream, (content.clone(), files.clone(), spool), quotas, settings);
        let stores = (content.clone(), files.clone());
        let pull_records = PullRecords::new(settings.audit.pulls);
        let (pulls, traffic) = (PullCounts::new(pull_records.clone()), TrafficCounts::default());
        let parts = Parts {
            policy: policy.clone(),
            audit: audit.clone(),
            last_used: last_used.clone(),
            manifests: caches.manifests.clone(),
            blobs: caches.blobs.clone(),
            identities,
            content,
            files,
            evictor: caches.evictor,
            pulls: pulls.clone(),
            pull_records,
            traffic: traffic.clone(),
            unpulled_days: settings.storage.unpulled_days,
            completing: Arc::default(),
            trims: Trims::default(),
            max_tombstones: settings.limits.max_tombstones.get(),
            expiring: ExpiringTokens::default(),
            leftovers,
        };
        let tidying = JanitorHandle::start(parts, &identity_arbiter);
        let warmer = Warmer::new(caches.manifests.clone(), caches.blobs.clone(), upstream.clone(), arbiter());
        let images = Images::new(stores, caches.manifests.clone(), caches.blobs.clone(), tidying.clone());
        Ok(Self {
            policy,
            tokens,
            tidying,
            audit,
            manifests: caches.manifests,
            blobs: caches.blobs,
            lists: caches.lists,
            last_used,
            images,
            reads: caches.reads,
            pulls,
            traffic,
            upstream,
            accounts,
            world,
            warmer,
        })
    }

    /// Returns the state of the registry's routes, the state of the REST API, and the components whose settings can
    /// be reloaded.
    pub(super) fn into_states(
        self,
        settings: &Settings,
        stopping: Arc<AtomicBool>,
    ) -> (RegistryState, ApiState, Reloadable) {
        let server = &settings.server;
        let proxies = server.trusted_proxies.clone();
        let public_url = PublicUrl::new(server.external_url.as_ref(), proxies, server.tls().is_some());
        let upstreams = self.world.clone();
        let reloadable = Reloadable {
            policy: self.policy.clone(),
            upstream: self.upstream.clone(),
            manifests: self.manifests.clone(),
            accounts: self.accounts.clone(),
            audit: self.audit.clone(),
            tls: server.tls().is_some(),
        };
        let api = self.api_state(settings, upstreams.clone(), public_url.clone());
        (self.registry_state(settings, stopping, upstreams, public_url), api, reloadable)
    }

    fn api_state(&self, settings: &Settings, upstreams: CurrentUpstreams, public_url: PublicUrl) -> ApiState {
        ApiState {
            identities: Identities::new(self.policy.clone()),
            tokens: self.tokens.clone(),
            audit: self.audit.clone(),
            last_used: self.last_used.clone(),
            purge: Arc::new(self.tidying.clone()),
            images: Arc::new(self.images.clone()),
            warming: Arc::new(self.warmer.clone()),
            upstream: Arc::new(self.upstream.clone()),
            accounts: self.accounts.clone(),
            unpulled_days: settings.storage.unpulled_days,
            pull_days: settings.audit.pulls.pull_days,
            upstreams,
            limits: settings.limits,
            sessions: Sessions::new(SessionTimes {
                idle: settings.console.session_idle,
                longest: settings.console.session_longest,
            }),
            pace: Pace::new(&settings.limits),
            public_groups: settings.auth.public_groups,
            proxy_enabled: settings.proxy.enabled,
            public_url,
        }
    }

    fn registry_state(
        self,
        settings: &Settings,
        stopping: Arc<AtomicBool>,
        upstreams: CurrentUpstreams,
        public_url: PublicUrl,
    ) -> RegistryState {
        RegistryState {
            policy: self.policy,
            audit: self.audit,
            tokens: self.tokens,
            manifests: self.manifests,
            blobs: self.blobs,
            lists: self.lists,
            last_used: self.last_used,
            reads: self.reads,
            pulls: self.pulls,
            traffic: self.traffic,
            upstreams,
            stopping,
            refusals: Refusals::default(),
            public_url,
            options: RegistryOptions {
                service: settings.auth.service.clone(),
                token_advertised: settings.auth.token_advertised,
                public_groups: settings.auth.public_groups,
                proxy_enabled: settings.proxy.enabled,
            },
        }
    }
}

impl Caches {
    fn start(
        upstream: &UpstreamHandle,
        (content, files, spool): (ContentStore, BlobFiles, Spool),
        quotas: GroupQuotas,
        settings: &Settings,
    ) -> Self {
        let cache = &settings.cache;
        // One budget for both: memory that the cache of manifests does not use is available to transfers, and the
        // cache gives memory back when transfers need it.
        let memory = MemoryBudget::new(cache.manifests.manifest_memory + cache.transfer_memory);
        let reads = Reads::default();
        let evictor = Evictor::new(content.clone(), files.clone(), reads.clone());
        let (options, stores) = ((cache.manifests.clone(), cache.each), (content.clone(), evictor.clone()));
        let manifests = ManifestCacheHandle::start(options, upstream.clone(), stores, memory.clone(), &arbiter());
        let (ports, stores) = (Arc::new(upstream.clone()), (content, files, spool));
        let options = (cache.blobs.clone(), cache.each);
        let blobs = BlobCacheHandle::start(&arbiter(), ports, stores, (evictor.clone(), quotas), options);
        blobs.verify_stored(settings.storage.verification);
        Self { manifests, blobs, lists: Lists::new(upstream.clone(), memory), reads, evictor }
    }
}

/// Follows the accounts of groups, and encrypts the passwords again that were encrypted with an older key.
async fn follow_accounts(
    policy: &PolicyEvaluatorHandle,
    keys: SealingKeys,
    upstream: UpstreamHandle,
    world: CurrentUpstreams,
) -> Result<GroupAccounts, StartError> {
    let accounts = GroupAccounts::new(keys, Box::new(move |logins| upstream.change_group_logins(logins)), world);
    let (followed, resealing) = (accounts.clone(), accounts.clone());
    policy.observe(move |directory| followed.follow(directory));
    let is_of_older_key = |group: &Arc<Group>| {
        group.upstream_accounts.values().any(|account| account.secret.key != accounts.sealing_key())
    };
    if !policy.at_present().choosing_groups().any(is_of_older_key) {
        return Ok(accounts);
    }
    let resealed = policy.change(move |directory| {
        let reseal = |group, upstream: &_, account: &_| resealing.reseal(group, upstream, account);
        let (writes, value) = upstream_account::reseal(directory, resealing.sealing_key(), reseal);
        let origin = Origin { author: Author::local(Who::Service), message: "passwords of accounts encrypted again" };
        Ok::<_, Infallible>(Edited { writes, origin, value })
    });
    let resealed = resealed.await.map_err(|error| StartError::Resealing(error.to_string()))?;
    if resealed > 0 {
        tracing::info!(accounts = resealed, "the passwords of groups' accounts are encrypted with the first key");
    }
    Ok(accounts)
}

/// Starts a thread with an event loop, for one kind of actors.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}
