//! Stand-ins for what the API reaches beside the identities: a cache without images, no upstreams, jobs that are never
//! started, and purges that are only noted.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Mutex;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::actors::images::{
    CachedImage, Earlier, GroupTotals, ImageParts, ImagePulls, ImageQuery, ImagesError, KnownTotals, NotRefreshed,
    Only, Pinned, PullsQuery, RunningDownload, ShownImage, ShownPage, StateFilter, StoreSizes,
};
use crate::actors::janitor::Holdings;
use crate::actors::upstream_fetcher::{AccountState, AccountTest, TestResult, UpstreamQueue};
use crate::actors::warming::{JobProgress, TooManyJobs, WarmImage};
use crate::domain::id::GroupId;
use crate::domain::origin::Account;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;
use crate::domain::repository::{Repository, UpstreamName};
use crate::domain::traffic::{Hour, Traffic};
use crate::http::api::state::{ImageStore, Purge, UpstreamStates, Warming};

/// A cache without images.
pub(super) struct NoImages;

/// No upstreams.
pub(super) struct NoUpstreams;

/// Jobs that are never started.
pub(super) struct NoJobs;

/// The groups whose caches were purged.
#[derive(Default)]
pub(in crate::http::api::tests) struct Purged(pub(in crate::http::api::tests) Mutex<Vec<GroupId>>);

impl ImageStore for NoImages {
    fn list(&self, _: GroupId, _: ImageQuery) -> BoxFuture<'_, Result<ShownPage, ImagesError>> {
        Box::pin(ready(Ok(ShownPage::default())))
    }

    fn only(&self, _: StateFilter, _: Option<Timestamp>) -> BoxFuture<'_, Only> {
        Box::pin(ready(Only::nothing()))
    }

    fn find(
        &self,
        _: GroupId,
        _: (UpstreamName, Repository, Reference),
    ) -> BoxFuture<'_, Result<Vec<ShownImage>, ImagesError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn earlier<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<Vec<Earlier>, ImagesError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn parts<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<ImageParts, ImagesError>> {
        Box::pin(ready(Ok(ImageParts::default())))
    }

    fn refresh<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<(), NotRefreshed>> {
        Box::pin(ready(Ok(())))
    }

    fn pin<'a>(&'a self, _: &'a CachedImage, _: bool) -> BoxFuture<'a, Result<Pinned, ImagesError>> {
        Box::pin(ready(Ok(Pinned::NotThere)))
    }

    fn remove<'a>(&'a self, _: &'a CachedImage) -> BoxFuture<'a, Result<(), ImagesError>> {
        Box::pin(ready(Ok(())))
    }

    fn remove_unpinned(&self, _: GroupId) -> BoxFuture<'_, Result<(), ImagesError>> {
        Box::pin(ready(Ok(())))
    }

    fn known_totals(&self) -> BoxFuture<'_, Result<KnownTotals, ImagesError>> {
        Box::pin(ready(Ok(KnownTotals::NotYet)))
    }

    fn totals(&self) -> BoxFuture<'_, Result<Option<HashMap<GroupId, GroupTotals>>, ImagesError>> {
        Box::pin(ready(Ok(Some(HashMap::new()))))
    }

    fn traffic(
        &self,
        _: Option<GroupId>,
        _: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(Hour, Traffic)>, ImagesError>> {
        Box::pin(ready(Ok(vec![(Hour::of(now), Traffic { hits: 3, fetched: 1, ..Traffic::default() })])))
    }

    fn pullers(&self, _: PullsQuery) -> BoxFuture<'_, Result<ImagePulls, ImagesError>> {
        Box::pin(ready(Ok(ImagePulls::default())))
    }

    fn downloads(&self) -> BoxFuture<'_, Vec<RunningDownload>> {
        Box::pin(ready(Vec::new()))
    }

    fn problems(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(ready(Vec::new()))
    }

    fn sizes(&self) -> BoxFuture<'_, Result<StoreSizes, ImagesError>> {
        let sizes = StoreSizes { stored: Default::default(), max_bytes: None, free_bytes: 1_000 };
        Box::pin(ready(Ok(sizes)))
    }
}

impl UpstreamStates for NoUpstreams {
    fn states(&self) -> BoxFuture<'_, Vec<AccountState>> {
        Box::pin(ready(Vec::new()))
    }

    fn test_account(&self, _: UpstreamName, _: Account, _: GroupId) -> BoxFuture<'_, AccountTest> {
        let (result, sentence) = (TestResult::NotTried, String::new());
        Box::pin(ready(AccountTest { result, sentence }))
    }

    fn queues(&self) -> Vec<UpstreamQueue> {
        Vec::new()
    }
}

impl Warming for NoJobs {
    fn start(&self, _: GroupId, _: Vec<WarmImage>, _: Vec<Platform>) -> Result<u64, TooManyJobs> {
        Err(TooManyJobs)
    }

    fn job(&self, _: GroupId, _: u64) -> Option<JobProgress> {
        None
    }

    fn jobs_of(&self, _: GroupId) -> Vec<JobProgress> {
        Vec::new()
    }

    fn cancel(&self, _: GroupId, _: u64) -> bool {
        false
    }
}

impl Purge for Purged {
    fn holdings(&self, groups: Vec<GroupId>) -> BoxFuture<'_, Option<Holdings>> {
        Box::pin(ready(Some(Holdings { tags: groups.len(), bytes: 1_000 })))
    }

    fn start(&self, group: GroupId) -> BoxFuture<'_, Result<(), ImagesError>> {
        self.0.lock().unwrap().push(group);
        Box::pin(ready(Ok(())))
    }
}
