//! The state that the API's routes share: the handles and settings that they use, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::identities::Identities;
use super::pace::Pace;
use crate::actors::audit::AuditTrail;
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::{
    CachedImage, Earlier, GroupTotals, ImageParts, ImagePulls, ImageQuery, Images, ImagesError, KnownTotals,
    NotRefreshed, Only, Pinned, PullsQuery, RunningDownload, ShownImage, ShownPage, StateFilter, StoreSizes,
};
use crate::actors::janitor::{Holdings, JanitorHandle};
use crate::actors::last_used::LastUsed;
use crate::actors::sessions::Sessions;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::upstream_fetcher::{AccountState, AccountTest, UpstreamHandle, UpstreamQueue};
use crate::actors::warming::{JobProgress, TooManyJobs, WarmImage, Warmer};
use crate::domain::directory::Directory;
use crate::domain::explanation;
use crate::domain::id::GroupId;
use crate::domain::limits::Limits;
use crate::domain::origin::Account;
use crate::domain::platform::Platform;
use crate::domain::policy::PublicGroups;
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::traffic::{Hour, Traffic};
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
    /// Removes a group's cached content.
    pub(crate) purge: Arc<dyn Purge>,
    /// The images that groups have cached.
    pub(crate) images: Arc<dyn ImageStore>,
    /// Pulls images before anyone requests them.
    pub(crate) warming: Arc<dyn Warming>,
    /// The states of upstreams.
    pub(crate) upstream: Arc<dyn UpstreamStates>,
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

/// Counts and removes the content that groups have cached. A trait, so that tests need no janitor.
pub(crate) trait Purge: Send + Sync {
    /// Returns the total of the content of these groups; `None` if it cannot be read.
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>>;

    /// Starts to remove this group's links and tags. Returns once their removal is certain, even across a restart.
    fn start(&self, group: GroupId) -> BoxFuture<'_, Result<(), ImagesError>>;
}

/// Lists, pins and removes cached images. A trait, so that tests need no caches; see [`Images`] for its functions.
pub(crate) trait ImageStore: Send + Sync {
    /// See [`Images::list`].
    fn list(&self, group: GroupId, query: ImageQuery) -> BoxFuture<'_, Result<ShownPage, ImagesError>>;

    /// See [`Images::only`].
    fn only(&self, state: StateFilter, going_before: Option<Timestamp>) -> BoxFuture<'_, Only>;

    /// See [`Images::find`].
    fn find(
        &self,
        group: GroupId,
        image: (UpstreamName, Repository, Reference),
    ) -> BoxFuture<'_, Result<Vec<ShownImage>, ImagesError>>;

    /// See [`Images::earlier`].
    fn earlier<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<Vec<Earlier>, ImagesError>>;

    /// See [`Images::parts`].
    fn parts<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<ImageParts, ImagesError>>;

    /// See [`Images::refresh`].
    fn refresh<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<(), NotRefreshed>>;

    /// See [`Images::pin`].
    fn pin<'a>(&'a self, image: &'a CachedImage, pinned: bool) -> BoxFuture<'a, Result<Pinned, ImagesError>>;

    /// See [`Images::remove`].
    fn remove<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<(), ImagesError>>;

    /// See [`Images::remove_unpinned`].
    fn remove_unpinned(&self, group: GroupId) -> BoxFuture<'_, Result<(), ImagesError>>;

    /// See [`Images::totals`].
    fn totals(&self) -> BoxFuture<'_, Result<Option<HashMap<GroupId, GroupTotals>>, ImagesError>>;

    /// See [`Images::known_totals`].
    fn known_totals(&self) -> BoxFuture<'_, Result<KnownTotals, ImagesError>>;

    /// See [`Images::traffic`].
    fn traffic(
        &self,
        group: Option<GroupId>,
        hours: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(Hour, Traffic)>, ImagesError>>;

    /// See [`Images::pullers`].
    fn pullers(&self, query: PullsQuery) -> BoxFuture<'_, Result<ImagePulls, ImagesError>>;

    /// See [`Images::downloads`].
    fn downloads(&self) -> BoxFuture<'_, Vec<RunningDownload>>;

    /// See [`Images::problems`].
    fn problems(&self) -> BoxFuture<'_, Vec<String>>;

    /// See [`Images::sizes`].
    fn sizes(&self) -> BoxFuture<'_, Result<StoreSizes, ImagesError>>;
}

/// Reports the states of upstreams, and tests accounts there. A trait, so that tests need none.
pub(crate) trait UpstreamStates: Send + Sync {
    /// See [`UpstreamHandle::states`].
    fn states(&self) -> BoxFuture<'_, Vec<AccountState>>;

    /// See [`UpstreamHandle::test_account`].
    fn test_account(&self, upstream: UpstreamName, account: Account, group: GroupId) -> BoxFuture<'_, AccountTest>;

    /// See [`UpstreamHandle::queues`].
    fn queues(&self) -> Vec<UpstreamQueue>;
}

impl UpstreamStates for UpstreamHandle {
    fn states(&self) -> BoxFuture<'_, Vec<AccountState>> {
        Box::pin(self.states())
    }

    fn test_account(&self, upstream: UpstreamName, account: Account, group: GroupId) -> BoxFuture<'_, AccountTest> {
        Box::pin(self.test_account(upstream, account, group))
    }

    fn queues(&self) -> Vec<UpstreamQueue> {
        self.queues()
    }
}

/// Starts and shows jobs that pull images before anyone requests them. A trait, so that tests need no caches; see
/// [`Warmer`] for its functions.
pub(crate) trait Warming: Send + Sync {
    /// See [`Warmer::start`].
    fn start(&self, group: GroupId, images: Vec<WarmImage>, platforms: Vec<Platform>) -> Result<u64, TooManyJobs>;

    /// See [`Warmer::job`].
    fn job(&self, group: GroupId, number: u64) -> Option<JobProgress>;

    /// See [`Warmer::jobs_of`].
    fn jobs_of(&self, group: GroupId) -> Vec<JobProgress>;

    /// See [`Warmer::cancel`].
    fn cancel(&self, group: GroupId, number: u64) -> bool;
}

impl Warming for Warmer {
    fn start(&self, group: GroupId, images: Vec<WarmImage>, platforms: Vec<Platform>) -> Result<u64, TooManyJobs> {
        self.start(group, images, platforms)
    }

    fn job(&self, group: GroupId, number: u64) -> Option<JobProgress> {
        self.job(group, number)
    }

    fn jobs_of(&self, group: GroupId) -> Vec<JobProgress> {
        self.jobs_of(group)
    }

    fn cancel(&self, group: GroupId, number: u64) -> bool {
        self.cancel(group, number)
    }
}

impl ImageStore for Images {
    fn list(&self, group: GroupId, query: ImageQuery) -> BoxFuture<'_, Result<ShownPage, ImagesError>> {
        Box::pin(self.list(group, query))
    }

    fn only(&self, state: StateFilter, going_before: Option<Timestamp>) -> BoxFuture<'_, Only> {
        Box::pin(self.only(state, going_before))
    }

    fn find(
        &self,
        group: GroupId,
        (upstream, repository, reference): (UpstreamName, Repository, Reference),
    ) -> BoxFuture<'_, Result<Vec<ShownImage>, ImagesError>> {
        Box::pin(self.find(group, upstream, repository, reference))
    }

    fn earlier<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<Vec<Earlier>, ImagesError>> {
        Box::pin(self.earlier(image))
    }

    fn parts<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<ImageParts, ImagesError>> {
        Box::pin(self.parts(image))
    }

    fn refresh<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<(), NotRefreshed>> {
        Box::pin(self.refresh(image))
    }

    fn pin<'a>(&'a self, image: &'a CachedImage, pinned: bool) -> BoxFuture<'a, Result<Pinned, ImagesError>> {
        Box::pin(self.pin(image, pinned))
    }

    fn remove<'a>(&'a self, image: &'a CachedImage) -> BoxFuture<'a, Result<(), ImagesError>> {
        Box::pin(self.remove(image))
    }

    fn remove_unpinned(&self, group: GroupId) -> BoxFuture<'_, Result<(), ImagesError>> {
        Box::pin(self.remove_unpinned(group))
    }

    fn totals(&self) -> BoxFuture<'_, Result<Option<HashMap<GroupId, GroupTotals>>, ImagesError>> {
        Box::pin(self.totals())
    }

    fn known_totals(&self) -> BoxFuture<'_, Result<KnownTotals, ImagesError>> {
        Box::pin(self.known_totals())
    }

    fn traffic(
        &self,
        group: Option<GroupId>,
        hours: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(Hour, Traffic)>, ImagesError>> {
        Box::pin(self.traffic(group, hours, now))
    }

    fn pullers(&self, query: PullsQuery) -> BoxFuture<'_, Result<ImagePulls, ImagesError>> {
        Box::pin(self.pullers(query))
    }

    fn downloads(&self) -> BoxFuture<'_, Vec<RunningDownload>> {
        Box::pin(self.downloads())
    }

    fn problems(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.problems())
    }

    fn sizes(&self) -> BoxFuture<'_, Result<StoreSizes, ImagesError>> {
        Box::pin(self.sizes())
    }
}

impl Purge for JanitorHandle {
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>> {
        Box::pin(self.holdings(groups))
    }

    fn start(&self, group: GroupId) -> BoxFuture<'_, Result<(), ImagesError>> {
        Box::pin(async move { Ok(self.purge(group).await?) })
    }
}
