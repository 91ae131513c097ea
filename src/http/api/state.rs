//! What the API needs from the rest of the house, and nothing else of it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::caller::Identities;
use super::pace::Pace;
use crate::actors::janitor::{Holdings, Tidying};
use crate::actors::last_used::LastUsed;
use crate::actors::token_issuer::Tokens;
use crate::domain::id::GroupId;
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::http::{CurrentUpstreams, PublicUrl};

/// Shared by all routes of the API, as `web::Data`.
pub(crate) struct ApiState {
    /// The identities.
    pub(crate) identities: Identities,
    /// Where passwords are hashed.
    pub(crate) tokens: Tokens,
    /// When credentials were last used.
    pub(crate) last_used: LastUsed,
    /// What removes a group's cache.
    pub(crate) purge: Arc<dyn Purge>,
    /// The upstreams, whose names no group may have.
    pub(crate) upstreams: CurrentUpstreams,
    /// What callers can make at most.
    pub(crate) limits: Limits,
    /// How many changes callers may make.
    pub(crate) pace: Pace,
    /// Who else may see public groups.
    pub(crate) public_groups: PublicGroups,
    /// Whether the proxy is on where nobody switched it at run time.
    pub(crate) proxy_enabled: bool,
    /// How this service is addressed.
    pub(crate) public_url: PublicUrl,
}

/// Counts and removes what groups have cached.
pub(crate) trait Purge: Send + Sync {
    /// The holdings of these groups together; `None` where that cannot be read.
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>>;

    /// Starts to remove this group's links and tags, and returns once that is certain to happen.
    fn start(&self, group: GroupId) -> BoxFuture<'_, ()>;
}

impl Purge for Tidying {
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>> {
        Box::pin(self.holdings(groups))
    }

    fn start(&self, group: GroupId) -> BoxFuture<'_, ()> {
        Box::pin(self.purge(group))
    }
}
