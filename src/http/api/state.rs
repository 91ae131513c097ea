//! What the API needs from the rest of the house, and nothing else of it.

use std::sync::Arc;

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::actors::policy_evaluator::Policy;
use crate::actors::token_issuer::Tokens;
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::policy::PublicGroups;
use crate::domain::upstream::Upstreams;

/// Shared by all routes of the API, as `web::Data`.
pub(crate) struct ApiState {
    /// The owner of the identities.
    pub(crate) policy: Policy,
    /// Where passwords are hashed.
    pub(crate) tokens: Tokens,
    /// When credentials were last used.
    pub(crate) last_used: Arc<dyn LastUsed>,
    /// What removes a group's cache.
    pub(crate) purge: Arc<dyn Purge>,
    /// The upstreams, whose names no group may have.
    pub(crate) upstreams: Arc<Upstreams>,
    /// Who else may see public groups.
    pub(crate) public_groups: PublicGroups,
    /// Whether the proxy is on where nobody switched it at run time.
    pub(crate) proxy_enabled: bool,
    /// What URLs of this service start with, as this client sees it: scheme and host, without `/` at the end.
    pub(crate) base_url: Box<dyn Fn(&HttpRequest) -> String + Send + Sync>,
}

/// Remembers when credentials were last used. Called on every request: in memory only.
pub(crate) trait LastUsed: Send + Sync {
    /// Takes note that a credential was used.
    fn note(&self, credential: CredentialId, at: Timestamp);

    /// When a credential was last used, as far as known.
    fn of(&self, credential: CredentialId) -> Option<Timestamp>;
}

/// Removes what groups have cached.
pub(crate) trait Purge: Send + Sync {
    /// Starts to remove this group's links and tags, and returns at once.
    fn start(&self, group: GroupId);
}
