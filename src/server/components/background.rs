//! The work in the background: that of the janitor, and, in a fleet, what follows from the work of other replicas.

use std::sync::Arc;

use actix_rt::ArbiterHandle;

use super::arbiter;
use super::caches::Caches;
use super::records::Records;
use super::stores::Stores;
use crate::actors::content_follower::ContentFollower;
use crate::actors::expiring_tokens::ExpiringTokens;
use crate::actors::fleet_keeper::FleetKeeper;
use crate::actors::janitor::{JanitorHandle, Parts, Trims};
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::server::StartError;
use crate::settings::Settings;
use crate::store::content::ContentStore;
use crate::store::fleet::{FleetContent, FollowedContent};

/// Starts the janitor over these stores and components.
pub(super) fn start_janitor(
    stores: Stores,
    (policy, caches, records): (&PolicyEvaluatorHandle, &Caches, &Records),
    settings: &Settings,
    arbiter: &ArbiterHandle,
) -> JanitorHandle {
    let parts = Parts {
        policy: policy.clone(),
        audit: records.audit.clone(),
        last_used: records.last_used.clone(),
        manifests: caches.manifests.clone(),
        blobs: caches.blobs.clone(),
        identities: stores.identities,
        content: stores.content,
        files: stores.files,
        evictor: caches.evictor.clone(),
        pulls: records.pulls.clone(),
        pull_records: records.pull_records.clone(),
        traffic: records.traffic.clone(),
        traffic_records: records.traffic_records.clone(),
        unpulled_days: settings.storage.unpulled_days,
        completing: Arc::default(),
        trims: Trims::default(),
        max_tombstones: settings.limits.max_tombstones.get(),
        expiring: ExpiringTokens::default(),
        leftovers: stores.leftovers,
    };
    JanitorHandle::start(parts, arbiter)
}

/// Starts to follow the changes of content that other replicas make, and to look after the object store when it is the
/// turn of this replica.
///
/// # Errors
/// The state of what was followed before cannot be read.
pub(super) async fn follow_fleet(
    (policy, janitor): (&PolicyEvaluatorHandle, &JanitorHandle),
    (content, shared, manifests): (&ContentStore, &Arc<FleetContent>, &ManifestCacheHandle),
    settings: &Settings,
) -> Result<(), StartError> {
    let follower = ContentFollower {
        content: content.clone(),
        shared: shared.clone(),
        manifests: manifests.clone(),
        janitor: janitor.clone(),
        file: settings.storage.cache_dir.join(FollowedContent::FILE_NAME),
    };
    let keeper = FleetKeeper {
        policy: policy.clone(),
        shared: shared.clone(),
        janitor: janitor.clone(),
        unpulled_days: settings.storage.unpulled_days,
        max_bytes: settings.fleet.bucket_max_bytes(),
    };
    let arbiter = arbiter();
    follower.start(&arbiter).await?;
    keeper.start(&arbiter);
    Ok(())
}
