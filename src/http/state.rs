//! What the routes of the registry need from the rest of the house, and nothing else of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::public_url::PublicUrl;
use super::refusals::Refusals;
use crate::actors::blob_cache::Blobs;
use crate::actors::last_used::LastUsed;
use crate::actors::lists::Lists;
use crate::actors::manifests::Manifests;
use crate::actors::policy_evaluator::Policy;
use crate::actors::token_issuer::Tokens;
use crate::domain::policy::PublicGroups;
use crate::domain::upstream::Upstreams;

/// The upstreams there are at present: a snapshot that changes as a whole.
pub(crate) type CurrentUpstreams = Arc<ArcSwap<Upstreams>>;

/// Shared by all routes of the registry, as `web::Data`.
pub(crate) struct RegistryState {
    /// Who may what.
    pub(crate) policy: Policy,
    /// Bearer tokens.
    pub(crate) tokens: Tokens,
    /// Manifests.
    pub(crate) manifests: Manifests,
    /// Blobs.
    pub(crate) blobs: Blobs,
    /// Lists that are passed through.
    pub(crate) lists: Lists,
    /// When credentials were last used.
    pub(crate) last_used: LastUsed,
    /// The upstreams there are.
    pub(crate) upstreams: CurrentUpstreams,
    /// Whether the service was told to stop.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Which refusals are logged.
    pub(crate) refusals: Refusals,
    /// How this service is addressed.
    pub(crate) public_url: PublicUrl,
    /// What the operator chose.
    pub(crate) options: RegistryOptions,
}

/// What the operator chose for the registry.
#[derive(Clone, Debug)]
pub(crate) struct RegistryOptions {
    /// The name of the service in challenges and tokens.
    pub(crate) service: String,
    /// How long clients are told that a token lives.
    pub(crate) token_advertised: Duration,
    /// Who may pull from public groups.
    pub(crate) public_groups: PublicGroups,
    /// Whether the proxy is on where nobody switched it at run time.
    pub(crate) proxy_enabled: bool,
}

impl RegistryState {
    /// Whether the proxy is on as a whole.
    pub(crate) fn proxy_enabled(&self) -> bool {
        self.policy.at_present().service().proxy_enabled.unwrap_or(self.options.proxy_enabled)
    }
}
