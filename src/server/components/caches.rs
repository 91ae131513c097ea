//! The caches of manifests, blobs and lists, which share one budget of memory.

use std::sync::Arc;

use super::arbiter;
use super::shared_parts::SharedParts;
use super::stores::Stores;
use crate::actors::blob_cache::{BlobCacheHandle, BlobUpstream, GroupQuotas};
use crate::actors::evictor::Evictor;
use crate::actors::lists::Lists;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::memory_budget::MemoryBudget;
use crate::actors::reads::Reads;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::settings::Settings;

/// The caches, which are running, and what they share with other components.
pub(super) struct Caches {
    pub(super) manifests: ManifestCacheHandle,
    pub(super) blobs: BlobCacheHandle,
    pub(super) lists: Lists,
    pub(super) reads: Reads,
    pub(super) evictor: Evictor,
}

impl Caches {
    /// Starts the caches over this upstream and these stores, and the verification of what is stored.
    pub(super) fn start(
        (upstream, shared): (&UpstreamHandle, Option<&SharedParts>),
        Stores { content, files, spool, .. }: &Stores,
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
        let stores = (content.clone(), files.clone(), spool.clone());
        let blob_upstream: Arc<dyn BlobUpstream> = match shared {
            Some(shared) => Arc::new(shared.downloads.clone()),
            None => Arc::new(upstream.clone()),
        };
        let options = (cache.blobs.clone(), cache.each);
        let blobs = BlobCacheHandle::start(&arbiter(), blob_upstream, stores, (evictor.clone(), quotas), options);
        blobs.verify_stored(settings.storage.verification);
        Self { manifests, blobs, lists: Lists::new(upstream.clone(), memory), reads, evictor }
    }
}
