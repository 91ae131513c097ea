//! The parts of a server that work with the other replicas of a fleet.

use std::sync::Arc;

use actix_rt::ArbiterHandle;

use crate::actors::follower::FollowerHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::shared_downloads::SharedDownloads;
use crate::actors::shared_manifests::SharedManifests;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::server::StartError;
use crate::server::fleet::Fleet;
use crate::store::content::ContentStore;
use crate::store::fleet::{FleetContent, FleetSessions};

/// The parts that work with the other replicas of a fleet. Cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct SharedParts {
    /// Follows the changes of others.
    pub(in crate::server) follower: FollowerHandle,
    /// The downloads that replicas share.
    pub(in crate::server) downloads: SharedDownloads,
    /// The requests for manifests that replicas share.
    pub(in crate::server) manifests: SharedManifests,
    /// The sessions of the console.
    pub(super) sessions: FleetSessions,
    /// The cached content.
    pub(in crate::server) content: Arc<FleetContent>,
}

impl SharedParts {
    /// Starts to work with the other replicas.
    ///
    /// # Errors
    /// The client for other replicas cannot be made.
    pub(super) fn start(
        (fleet, shared): (&Fleet, Arc<FleetContent>),
        (policy, upstream, content): (&PolicyEvaluatorHandle, &UpstreamHandle, &ContentStore),
        arbiter: &ArbiterHandle,
    ) -> Result<Self, StartError> {
        Ok(Self {
            follower: FollowerHandle::start(fleet.follower(policy.clone()), arbiter),
            downloads: fleet.downloads(upstream.clone(), content.clone())?,
            manifests: fleet.manifests(content.clone())?,
            sessions: fleet.sessions(),
            content: shared,
        })
    }
}
