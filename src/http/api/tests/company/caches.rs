//! The caches of the company, over its folder and without upstreams. Each group has pulled one image, of 1000 bytes,
//! which is the same for all.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use jiff::Timestamp;

use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::{BlobCacheHandle, BlobCacheOptions};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::evictor::Evictor;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::images::Images;
use crate::actors::janitor::{JanitorHandle, Parts, Trims};
use crate::actors::last_used::LastUsed;
use crate::actors::manifest_cache::{CacheTimes, ManifestCacheHandle, ManifestCacheOptions};
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::pull_records::{PullRecordOptions, PullRecords};
use crate::actors::pulls::PullCounts;
use crate::actors::reads::Reads;
use crate::actors::traffic::{TrafficCounts, TrafficRecords};
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::actors::warming::Warmer;
use crate::auth::sha256;
use crate::domain::id::GroupId;
use crate::domain::min_free::MinFree;
use crate::domain::origin::{Account, Origin};
use crate::domain::upstream::NetworkMode;
use crate::store::atomic_file::TempFileSweep;
use crate::store::blobs::BlobFiles;
use crate::store::content::ContentStore;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::index::Index;
use crate::store::identities::IdentityStore;
use crate::store::link::{Link, TagEntry};
use crate::store::manifests::ManifestStore;
use crate::store::spool::Spool;

/// The caches, with the handles that the API uses.
pub(super) struct Caches {
    pub(super) content: ContentStore,
    pub(super) images: Images,
    pub(super) janitor: JanitorHandle,
    pub(super) upstream: UpstreamHandle,
    pub(super) warmer: Warmer,
    arbiter: Arbiter,
}

impl Drop for Caches {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
const SOME: NonZeroUsize = NonZeroUsize::new(16).unwrap();
const LIMITS: CacheLimits = CacheLimits { max_waiters: SOME, max_waiters_per_group: SOME, known_links: SOME };

const OF_MANIFESTS: ManifestCacheOptions = ManifestCacheOptions {
    times: CacheTimes { revalidate_timeout: TIMEOUT, negative_ttl: Duration::ZERO, account_grace: Duration::ZERO },
    max_manifest_bytes: 4096,
    max_fetches: SOME,
    manifest_memory: 1 << 20,
    known_tags: SOME,
};

const OF_BLOBS: BlobCacheOptions = BlobCacheOptions {
    max_downloads: SOME,
    max_unstored_streams: SOME,
    max_range_streams: SOME,
    max_downloads_per_group: SOME,
    max_blob_bytes: None,
    response_timeout: TIMEOUT,
};

impl Caches {
    /// Starts the caches in this folder, on a thread of their own.
    pub(super) fn start(
        folder: &Path,
        policy: &PolicyEvaluatorHandle,
        (identities, audit, last_used): (IdentityStore, AuditTrail, LastUsed),
    ) -> Self {
        let arbiter = Arbiter::new();
        let content = EmbeddedContent::new(Index::open(folder, folder).unwrap(), ManifestStore::new(folder));
        let content = ContentStore::embedded(content);
        for group in policy.directory().groups() {
            pull(content.engine().index(), group.id);
        }
        let files = BlobFiles::open(folder, MinFree::Bytes(0), SOME.get()).unwrap();
        let upstream = UpstreamHandle::start(Vec::new(), NetworkMode::Online, &arbiter.handle()).unwrap();
        let stores = (content.clone(), files.clone());
        let (manifests, blobs, evictor) = start_caches(folder, stores, &upstream, &arbiter.handle());
        let pull_records = PullRecords::new(PullRecordOptions { pull_days: 30, max_pull_bytes: 1 << 20 });
        let traffic_records = TrafficRecords::Own(content.clone());
        let parts = Parts {
            policy: policy.clone(),
            audit,
            last_used,
            manifests: manifests.clone(),
            blobs: blobs.clone(),
            identities,
            content: content.clone(),
            files: files.clone(),
            evictor,
            pulls: PullCounts::new(pull_records.clone()),
            pull_records,
            traffic: TrafficCounts::default(),
            traffic_records: traffic_records.clone(),
            unpulled_days: 0,
            completing: Arc::default(),
            trims: Trims::default(),
            max_tombstones: 1000,
            expiring: ExpiringTokens::default(),
            leftovers: TempFileSweep::below(&[]),
        };
        let janitor = JanitorHandle::start(parts, &arbiter.handle());
        let stores = (content.clone(), files, traffic_records);
        let images = Images::new(stores, manifests.clone(), blobs.clone(), janitor.clone());
        let warmer = Warmer::new(manifests, blobs, upstream.clone(), arbiter.handle());
        Self { content, images, janitor, upstream, warmer, arbiter }
    }
}

fn start_caches(
    folder: &Path,
    (content, files): (ContentStore, BlobFiles),
    upstream: &UpstreamHandle,
    arbiter: &ArbiterHandle,
) -> (ManifestCacheHandle, BlobCacheHandle, Evictor) {
    let evictor = Evictor::new(content.clone(), files.clone(), Reads::default());
    let (stores, memory) = ((content.clone(), evictor.clone()), MemoryBudget::new(1 << 20));
    let manifests =
        ManifestCacheHandle::start((OF_MANIFESTS, LIMITS), (upstream.clone(), None), stores, memory, arbiter);
    let stores = (content, files, Spool::open(folder).unwrap());
    let evicting = (evictor.clone(), Arc::new(|_| None) as _);
    let blobs = BlobCacheHandle::start(arbiter, Arc::new(upstream.clone()), stores, evicting, (OF_BLOBS, LIMITS));
    (manifests, blobs, evictor)
}

/// Adds what a pull of its image grants to a group.
fn pull(index: &Index, group: GroupId) {
    let (digest, account) = (sha256::digest(b"image"), Account::Anonymous);
    let (upstream, repository) = ("docker.io".parse().unwrap(), "library/alpine".parse().unwrap());
    let origin = Origin { upstream, account, repository };
    index.add_links(group, &origin, &[(digest, Link::granted(Some(1_000)))]).unwrap();
    let entry = TagEntry { digest, checked_at: Timestamp::now(), denied: false };
    index.set_tag(group, &origin, &"latest".parse().unwrap(), entry).unwrap();
}
