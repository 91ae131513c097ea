//! The state that the registry's routes share: the handles and settings that they use, and nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::actors::audit::AuditTrail;
use crate::actors::blob_cache::BlobCacheHandle;
use crate::actors::last_used::LastUsed;
use crate::actors::lists::Lists;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::pulls::PullCounts;
use crate::actors::reads::Reads;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::traffic::TrafficCounts;
use crate::domain::policy::PublicGroups;
use crate::domain::redirects::Redirects;
use crate::domain::upstream::Upstreams;
use crate::http::public_url::PublicUrl;
use crate::http::refusals::Refusals;

/// The configured upstreams: a snapshot that is replaced as a whole.
pub(crate) type CurrentUpstreams = Arc<ArcSwap<Upstreams>>;

/// Shared state of the registry's routes, as `web::Data`.
pub(crate) struct RegistryState {
    /// Handle of the policy evaluator, with the current directory of identities.
    pub(crate) policy: PolicyEvaluatorHandle,
    /// The audit events.
    pub(crate) audit: AuditTrail,
    /// Issues and verifies bearer tokens.
    pub(crate) tokens: TokenIssuerHandle,
    /// Handle of the manifest cache.
    pub(crate) manifests: ManifestCacheHandle,
    /// Handle of the blob cache.
    pub(crate) blobs: BlobCacheHandle,
    /// Lists, which are passed through from upstream.
    pub(crate) lists: Lists,
    /// Times of last use of the credentials.
    pub(crate) last_used: LastUsed,
    /// Reads of stored content.
    pub(crate) reads: Reads,
    /// Pulls of images.
    pub(crate) pulls: PullCounts,
    /// Pulls and bytes of each group.
    pub(crate) traffic: TrafficCounts,
    /// The configured upstreams.
    pub(crate) upstreams: CurrentUpstreams,
    /// Set once the service is stopping.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Decides which refusals are logged.
    pub(crate) refusals: Refusals,
    /// The URL by which clients reach this service.
    pub(crate) public_url: PublicUrl,
    /// Redirects to the object store of a fleet.
    pub(crate) redirects: Redirects,
    /// The registry's settings.
    pub(crate) options: RegistryOptions,
}

/// Settings of the registry.
#[derive(Clone, Debug)]
pub(crate) struct RegistryOptions {
    /// Name of the service in challenges and tokens.
    pub(crate) service: String,
    /// Lifetime of a token as clients see it, in `expires_in`. The token itself is accepted for longer.
    pub(crate) token_advertised: Duration,
    /// The callers who may pull from public groups.
    pub(crate) public_groups: PublicGroups,
    /// Default for the switch of the whole proxy, until an administrator has set it at run time.
    pub(crate) proxy_enabled: bool,
}

impl RegistryState {
    /// Returns true if the proxy as a whole is switched on.
    pub(crate) fn proxy_enabled(&self) -> bool {
        self.policy.at_present().service().proxy_enabled.unwrap_or(self.options.proxy_enabled)
    }
}
