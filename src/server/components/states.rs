//! The states of the routes, and the components whose settings can be reloaded.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Handles;
use crate::actors::sessions::Sessions;
use crate::domain::session::SessionTimes;
use crate::http::{ApiState, CurrentUpstreams, Identities, Pace, PublicUrl, Refusals, RegistryOptions, RegistryState};
use crate::server::Reloadable;
use crate::settings::Settings;

impl Handles {
    /// Returns the state of the registry's routes, the state of the REST API, and the components whose settings can
    /// be reloaded.
    pub(in crate::server) fn into_states(
        self,
        settings: &Settings,
        stopping: Arc<AtomicBool>,
    ) -> (RegistryState, ApiState, Reloadable) {
        let server = &settings.server;
        let proxies = server.trusted_proxies.clone();
        let public_url = PublicUrl::new(server.external_url.as_ref(), proxies, server.tls().is_some());
        let upstreams = self.current_upstreams.clone();
        let reloadable = Reloadable {
            policy: self.policy.clone(),
            upstream: self.upstream.clone(),
            manifests: self.caches.manifests.clone(),
            accounts: self.accounts.clone(),
            audit: self.records.audit.clone(),
            tls: server.tls().is_some(),
        };
        let api = self.api_state(settings, upstreams.clone(), public_url.clone());
        (self.registry_state(settings, stopping, upstreams, public_url), api, reloadable)
    }

    fn api_state(&self, settings: &Settings, upstreams: CurrentUpstreams, public_url: PublicUrl) -> ApiState {
        ApiState {
            identities: Identities::new(self.policy.clone()),
            tokens: self.tokens.clone(),
            audit: self.records.audit.clone(),
            last_used: self.records.last_used.clone(),
            janitor: self.janitor.clone(),
            images: self.images.clone(),
            warming: self.warmer.clone(),
            upstream: self.upstream.clone(),
            accounts: self.accounts.clone(),
            unpulled_days: settings.storage.unpulled_days,
            pull_days: settings.audit.pulls.pull_days,
            upstreams,
            limits: settings.limits,
            sessions: self.sessions(settings),
            pace: Pace::new(&settings.limits),
            public_groups: settings.auth.public_groups,
            proxy_enabled: settings.proxy.enabled,
            public_url,
        }
    }

    fn sessions(&self, settings: &Settings) -> Sessions {
        let times = SessionTimes { idle: settings.console.session_idle, longest: settings.console.session_longest };
        match &self.shared {
            Some(shared) => Sessions::shared(shared.sessions.clone(), times),
            None => Sessions::new(times),
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
            audit: self.records.audit,
            tokens: self.tokens,
            manifests: self.caches.manifests,
            blobs: self.caches.blobs,
            lists: self.caches.lists,
            last_used: self.records.last_used,
            reads: self.caches.reads,
            pulls: self.records.pulls,
            traffic: self.records.traffic,
            upstreams,
            stopping,
            refusals: Refusals::default(),
            public_url,
            redirects: settings.fleet.redirects(),
            options: RegistryOptions {
                service: settings.auth.service.clone(),
                token_advertised: settings.auth.token_advertised,
                public_groups: settings.auth.public_groups,
                proxy_enabled: settings.proxy.enabled,
            },
        }
    }
}
