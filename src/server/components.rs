//! The components of a server: its stores, the handles of its actors, and the state that the routes get.
//!
//! | file | content |
//! |---|---|
//! | [`stores`] | opens the stores |
//! | [`followed_accounts`] | accounts of groups: follows the directory, encrypts older passwords again |
//! | [`states`] | states of the routes, and what can be reloaded |

mod followed_accounts;
mod states;
mod stores;

use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;

use self::followed_accounts::follow_accounts;
pub(super) use self::stores::Stores;
use super::StartError;
use super::fleet::Fleet;
use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::{BlobCacheHandle, BlobUpstream, GroupQuotas};
use crate::actors::content_follower::ContentFollower;
use crate::actors::evictor::Evictor;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::fleet_keeper::FleetKeeper;
use crate::actors::follower::FollowerHandle;
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::Images;
use crate::actors::janitor::{JanitorHandle, Parts, Trims};
use crate::actors::last_used::LastUsed;
use crate::actors::lists::Lists;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::pull_records::PullRecords;
use crate::actors::pulls::PullCounts;
use crate::actors::reads::Reads;
use crate::actors::shared_downloads::SharedDownloads;
use crate::actors::shared_manifests::SharedManifests;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::traffic::{TrafficCounts, TrafficRecords};
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::actors::warming::Warmer;
use crate::auth::jwt::Signer;
use crate::auth::sealing::SealingKeys;
use crate::http::CurrentUpstreams;
use crate::settings::Settings;
use crate::store::audit_file::AuditFile;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::fleet::{FleetSessions, FollowedContent};
use crate::store::spool::Spool;

/// The handles of all actors, which are running.
pub(super) struct Handles {
    /// Handle of the writer of identities, with the current directory.
    pub(super) policy: PolicyEvaluatorHandle,
    /// Checks logins and issues tokens.
    pub(super) tokens: TokenIssuerHandle,
    /// Handle of the janitor, which runs background tasks.
    pub(super) janitor: JanitorHandle,
    audit: AuditTrail,
    manifests: ManifestCacheHandle,
    pub(super) blobs: BlobCacheHandle,
    lists: Lists,
    last_used: LastUsed,
    images: Images,
    reads: Reads,
    pulls: PullCounts,
    traffic: TrafficCounts,
    upstream: UpstreamHandle,
    accounts: GroupAccounts,
    /// The upstreams that the routes use.
    current_upstreams: CurrentUpstreams,
    warmer: Warmer,
    /// The parts that work with the other replicas; `None`: there are none.
    pub(super) shared: Option<SharedParts>,
}

/// The parts that work with the other replicas of a fleet. Cheap to clone.
#[derive(Clone)]
pub(super) struct SharedParts {
    /// Follows the changes of others.
    pub(super) follower: FollowerHandle,
    /// The downloads that replicas share.
    pub(super) downloads: SharedDownloads,
    /// The requests for manifests that replicas share.
    pub(super) manifests: SharedManifests,
    /// The sessions of the console.
    sessions: FleetSessions,
    /// The cached content.
    pub(super) content: ContentStore,
}

impl SharedParts {
    /// Starts to work with the other replicas.
    fn start(
        fleet: &Fleet,
        (policy, upstream, content): (&PolicyEvaluatorHandle, &UpstreamHandle, &ContentStore),
        arbiter: &ArbiterHandle,
    ) -> Result<Self, StartError> {
        Ok(Self {
            follower: FollowerHandle::start(fleet.follower(policy.clone()), arbiter),
            downloads: fleet.downloads(upstream.clone(), content.clone())?,
            manifests: fleet.manifests(content.clone())?,
            sessions: fleet.sessions(),
            content: content.clone(),
        })
    }
}

/// The caches of manifests, blobs and lists, which are running, and what they share with other components.
struct Caches {
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
    lists: Lists,
    reads: Reads,
    evictor: Evictor,
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
        fleet: Option<&Fleet>,
    ) -> Result<Self, StartError> {
        let Stores { leftovers, identities, content, files, spool } = stores;
        let identity_arbiter = arbiter();
        let upstream = UpstreamHandle::start(
            settings.upstreams.iter().cloned().collect(),
            settings.proxy.network_mode,
            &arbiter(),
        )?;
        let max_waiting = settings.storage.max_waiting_changes.get();
        let shared = fleet.map(Fleet::shared).transpose()?;
        let policy = PolicyEvaluatorHandle::start(identities.clone(), &identity_arbiter, max_waiting, shared).await?;
        fleet.iter().for_each(|fleet| upstream.share_limits(fleet.upstream_reports()));
        let start_shared = |fleet| SharedParts::start(fleet, (&policy, &upstream, &content), &identity_arbiter);
        let shared = fleet.map(start_shared).transpose()?;
        let current_upstreams = CurrentUpstreams::new(ArcSwap::from_pointee(settings.pull_rules()));
        let accounts = follow_accounts(&policy, account_keys, upstream.clone(), current_upstreams.clone()).await?;
        let audit_file = settings.audit.file.as_deref().map(|file| AuditFile::new(file, &settings.storage.data_dir));
        let audit = AuditTrail::new(identities.clone(), settings.audit.events, audit_file);
        let last_used = LastUsed::new(identities.last_used().await?, settings.audit.address_days);
        let (passwords, public_groups) = (settings.auth.passwords.clone(), settings.auth.public_groups);
        let passwords = (passwords, fleet.map(Fleet::failed_logins));
        let tokens = TokenIssuerHandle::start(passwords, policy.clone(), signer, public_groups, &identity_arbiter);
        let quotas = {
            let policy = policy.clone();
            Arc::new(move |group| policy.at_present().group(group)?.cache.max_bytes)
        };
        let (upstreams, stores) = ((upstream.clone(), shared.as_ref()), (content.clone(), files.clone(), spool));
        let caches = Caches::start(upstreams, stores, quotas, settings);
        let traffic_records = match fleet {
            Some(fleet) => TrafficRecords::Shared(fleet.traffic()),
            None => TrafficRecords::Own(content.clone()),
        };
        let stores = (content.clone(), files.clone(), traffic_records.clone());
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
            traffic_records,
            unpulled_days: settings.storage.unpulled_days,
            completing: Arc::default(),
            trims: Trims::default(),
            max_tombstones: settings.limits.max_tombstones.get(),
            expiring: ExpiringTokens::default(),
            leftovers,
        };
        let following = (parts.content.clone(), parts.manifests.clone());
        let janitor = JanitorHandle::start(parts, &identity_arbiter);
        if fleet.is_some() {
            let (content, manifests) = following;
            let file = settings.storage.cache_dir.join(FollowedContent::FILE_NAME);
            let keeper = FleetKeeper {
                policy: policy.clone(),
                content: content.clone(),
                janitor: janitor.clone(),
                unpulled_days: settings.storage.unpulled_days,
                max_bytes: settings.fleet.bucket_max_bytes(),
            };
            let arbiter = arbiter();
            ContentFollower { content, manifests, janitor: janitor.clone(), file }.start(&arbiter).await?;
            keeper.start(&arbiter);
        }
        let warmer = Warmer::new(caches.manifests.clone(), caches.blobs.clone(), upstream.clone(), arbiter());
        let images = Images::new(stores, caches.manifests.clone(), caches.blobs.clone(), janitor.clone());
        Ok(Self {
            policy,
            tokens,
            janitor,
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
            current_upstreams,
            warmer,
            shared,
        })
    }
}

impl Caches {
    fn start(
        (upstream, shared): (UpstreamHandle, Option<&SharedParts>),
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
        let upstreams = (upstream.clone(), shared.map(|shared| shared.manifests.clone()));
        let manifests = ManifestCacheHandle::start(options, upstreams, stores, memory.clone(), &arbiter());
        let stores = (content, files, spool);
        let blob_upstream: Arc<dyn BlobUpstream> = match shared {
            Some(shared) => Arc::new(shared.downloads.clone()),
            None => Arc::new(upstream.clone()),
        };
        let options = (cache.blobs.clone(), cache.each);
        let blobs = BlobCacheHandle::start(&arbiter(), blob_upstream, stores, (evictor.clone(), quotas), options);
        blobs.verify_stored(settings.storage.verification);
        Self { manifests, blobs, lists: Lists::new(upstream, memory), reads, evictor }
    }
}

/// Starts a thread with an event loop, for one kind of actors.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}
