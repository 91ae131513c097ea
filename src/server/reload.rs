//! Reload of the settings in a running service: those that can change without a restart are applied together, or
//! none of them.

use jiff::Timestamp;

use super::{StartError, warn_of_missing_groups};
use crate::actors::audit::{AuditTrail, Occurrence};
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::manifest_cache::ManifestCacheHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::audit::{Author, Entity, Target, Who};
use crate::settings::Settings;

/// Components of a running service whose settings can be reloaded.
pub struct Reloadable {
    pub(super) policy: PolicyEvaluatorHandle,
    pub(super) upstream: UpstreamHandle,
    pub(super) manifests: ManifestCacheHandle,
    /// The accounts of groups, with the upstreams that the routes use.
    pub(super) accounts: GroupAccounts,
    pub(super) audit: AuditTrail,
    /// True if the service has a certificate, which is read again as well.
    pub(super) tls: bool,
}

impl Reloadable {
    /// Returns true if [`Self::apply`] applies a change of this key. Other keys need a restart.
    pub fn applies(key: &str) -> bool {
        const KEYS: [&str; 10] = [
            "proxy.network_mode",
            "cache.tag_freshness",
            "cache.stale_while_revalidate",
            "cache.moving_tags",
            "cache.moving_freshness",
            "cache.immutable_tags",
            "cache.immutable_freshness",
            "cache.revalidate_timeout",
            "cache.negative_ttl",
            "cache.account_grace",
        ];
        key.starts_with("upstreams.") || key.starts_with("upstream_defaults.") || KEYS.contains(&key)
    }

    /// Returns true if the service has a certificate.
    pub fn serves_tls(&self) -> bool {
        self.tls
    }

    /// Applies those of the settings that [`Self::applies`] names, to all requests from now on. Requests in flight
    /// end with the old ones. Tokens and negative entries of an upstream that changed are dropped, and backoffs and
    /// pauses of all upstreams, also if nothing has changed.
    ///
    /// # Errors
    /// Fails if an upstream cannot be used with these settings. Then nothing is changed.
    pub fn apply(&self, settings: &Settings) -> Result<(), StartError> {
        let changed =
            self.upstream.change(settings.upstreams.iter().cloned().collect(), settings.proxy.network_mode)?;
        let upstreams = settings.pull_rules();
        warn_of_missing_groups(&upstreams, &self.policy.directory());
        self.accounts.reconfigure(upstreams);
        self.manifests.change(settings.cache.manifests.times, changed);
        Ok(())
    }

    /// Notes for the audit trail that an operator has changed these settings.
    pub fn note_change(&self, keys: &str) {
        let target = Target { kind: "Settings".into(), id: None, name: keys.to_owned() };
        let occurrence = Occurrence {
            name: "settings_reloaded",
            message: "settings reloaded",
            author: Author::local(Who::Operator),
            credential: None,
            entity: Entity::Service,
            target,
            failure: None,
        };
        self.audit.note(occurrence, Timestamp::now());
    }
}
