//! Other settings for a running service: what can change without a restart, as a whole or not at all.

use std::sync::Arc;

use super::{StartError, options, warn_of_missing_groups};
use crate::actors::manifests::Manifests;
use crate::actors::policy_evaluator::Policy;
use crate::actors::upstream_fetcher::Upstream;
use crate::http::CurrentUpstreams;
use crate::settings::Settings;

/// Parts of a running service whose settings can change.
pub struct Reloadable {
    pub(super) policy: Policy,
    pub(super) upstream: Upstream,
    pub(super) manifests: Manifests,
    /// The upstreams as the routes know them.
    pub(super) world: CurrentUpstreams,
}

impl Reloadable {
    /// Says whether a change of this key is applied by [`Self::apply`]; others need a restart.
    pub fn applies(key: &str) -> bool {
        const KEYS: [&str; 4] =
            ["cache.tag_freshness", "cache.revalidate_timeout", "cache.negative_ttl", "cache.account_grace"];
        key.starts_with("upstreams.") || key.starts_with("upstream_defaults.") || KEYS.contains(&key)
    }

    /// Applies these settings, as far as [`Self::applies`] says, to all requests from now on; those in flight end as
    /// they began. Back-offs, tokens and absences of an upstream that changed are forgotten.
    ///
    /// # Errors
    ///
    /// Fails where an upstream cannot be used as it is set; nothing has changed then.
    pub fn apply(&self, settings: &Settings) -> Result<(), StartError> {
        let changed = self.upstream.change(options::upstreams(&settings.upstreams))?;
        let world = settings.upstreams.world();
        warn_of_missing_groups(&world, &self.policy.directory());
        self.world.store(Arc::new(world));
        self.manifests.change(options::times(&settings.cache), changed);
        Ok(())
    }
}
