//! The state that the API's routes share: the handles and settings that they use, and nothing else.

use super::identities::Identities;
use super::pace::Pace;
use crate::actors::audit::AuditTrail;
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::Images;
use crate::actors::janitor::JanitorHandle;
use crate::actors::last_used::LastUsed;
use crate::actors::sessions::Sessions;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::actors::warming::Warmer;
use crate::domain::directory::Directory;
use crate::domain::explanation;
use crate::domain::id::GroupId;
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::http::{CurrentUpstreams, PublicUrl};

/// Shared state of all routes of the API, as `web::Data`.
pub(crate) struct ApiState {
    /// The identities.
    pub(crate) identities: Identities,
    /// Hashes and verifies passwords.
    pub(crate) tokens: TokenIssuerHandle,
    /// The audit events.
    pub(crate) audit: AuditTrail,
    /// Times of last use of the credentials.
    pub(crate) last_used: LastUsed,
    /// Counts and removes the content that groups have cached.
    pub(crate) janitor: JanitorHandle,
    /// The images that groups have cached.
    pub(crate) images: Images,
    /// Pulls images before anyone requests them.
    pub(crate) warming: Warmer,
    /// The states of upstreams.
    pub(crate) upstream: UpstreamHandle,
    /// The accounts of groups at upstreams.
    pub(crate) accounts: GroupAccounts,
    /// Number of days after its last pull after which an image is removed, where its group has no setting of its own;
    /// 0: never.
    pub(crate) unpulled_days: u32,
    /// Number of days for which records of who pulled an image are kept; 0: nothing is recorded.
    pub(crate) pull_days: u32,
    /// The configured upstreams, whose names no group may have.
    pub(crate) upstreams: CurrentUpstreams,
    /// Maximum numbers and lifetimes of objects.
    pub(crate) limits: Limits,
    /// Sessions of the console.
    pub(crate) sessions: Sessions,
    /// Limits on the rate of changes.
    pub(crate) pace: Pace,
    /// The callers besides members who may see public groups.
    pub(crate) public_groups: PublicGroups,
    /// Default for the switch of the whole proxy, until an administrator has set it at run time.
    pub(crate) proxy_enabled: bool,
    /// The URL by which clients reach this service.
    pub(crate) public_url: PublicUrl,
}

impl ApiState {
    /// Returns true if the whole proxy is switched on.
    pub(in crate::http) fn is_switched_on(&self, directory: &Directory) -> bool {
        directory.service().proxy_enabled.unwrap_or(self.proxy_enabled)
    }

    /// Returns where pulls from this group are switched off, and who can switch them on, as a sentence without a full
    /// stop; `None` if they are switched on.
    pub(in crate::http) fn switched_off(&self, directory: &Directory, group: GroupId) -> Option<String> {
        let step = explanation::switch(directory, group, self.is_switched_on(directory));
        (!step.holds).then_some(step.sentence)
    }
}
