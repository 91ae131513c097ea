//! The keeper of what replicas share: quotas and age of images over all replicas, and the size of the object store. One
//! replica does it for all; where it is gone, another goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::time::sleep;

use super::failures::report;
use super::janitor::JanitorHandle;
use super::policy_evaluator::PolicyEvaluatorHandle;
use crate::domain::id::GroupId;
use crate::domain::policy;
use crate::store::error::StoreError;
use crate::store::fleet::{FleetContent, Lease, LinkPlace, SearchPlace};

/// The parts that the keeper works with.
pub struct FleetKeeper {
    /// The identities, with the quotas of groups.
    pub policy: PolicyEvaluatorHandle,
    /// The content that replicas share.
    pub shared: Arc<FleetContent>,
    /// Removes images.
    pub janitor: JanitorHandle,
    /// Number of days after its last pull after which an image is removed, where its group has no setting of its own;
    /// 0: never.
    pub unpulled_days: u32,
    /// Maximum number of bytes in the bucket; `None`: no limit.
    pub max_bytes: Option<u64>,
}

/// Memory of the keeper between its looks.
#[derive(Default)]
struct State {
    /// The place of the search for objects without a link.
    place: SearchPlace,
    /// The place of the search for links to what no image names.
    link_place: LinkPlace,
    /// Time at which images that nobody pulls were removed last.
    expiry: Option<Instant>,
    /// Time of the last search for objects that nothing names.
    search: Option<Instant>,
}

/// Interval at which a replica checks who is the keeper, and the keeper checks the sizes.
const KEEPER_INTERVAL: Duration = Duration::from_secs(10);
/// The part of the time for which the keeper may be busy: where there is much to read, it looks less often.
const BUSY_PART: u32 = 10;
/// Interval at which images are removed that nobody pulls.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);
/// Interval of the search for objects that nothing names.
const SEARCH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

impl FleetKeeper {
    /// Starts to keep on this arbiter, whenever no other replica does.
    pub fn start(self, arbiter: &ArbiterHandle) {
        arbiter.spawn_fn(move || drop(actix_rt::spawn(self.run())));
    }

    async fn run(self) {
        let (shared, mut state, mut rest_until) = (&self.shared, State::default(), Instant::now());
        loop {
            sleep(KEEPER_INTERVAL).await;
            let lease = match shared.take_keeping().await {
                Ok(lease) => lease,
                Err(error) => {
                    report("the database does not say which replica keeps what all share", Err(error));
                    continue;
                }
            };
            metrics::gauge!("dependency_proxy_fleet_keeps").set(f64::from(u8::from(lease.is_some())));
            let began = Instant::now();
            if let Some(lease) = lease.filter(|_| rest_until <= began) {
                self.keep(shared, &lease, &mut state).await;
                rest_until = began + BUSY_PART * began.elapsed();
            }
        }
    }

    /// Does the work that is due. What fails is reported, and stops nothing else.
    async fn keep(&self, shared: &FleetContent, lease: &Lease, state: &mut State) {
        report("the object store could not be kept within its limit", self.keep_bucket(shared, lease, state).await);
        if is_time(&mut state.expiry, EXPIRY_INTERVAL) {
            report("images that nobody pulls could not all be removed", self.expire(shared).await);
            report("what deleted groups have left could not be removed", shared.forget_groups(lease).await);
            report("what tags stood for before could not be removed", shared.forget_earlier(lease).await);
        }
        report("what no image names could not be removed", remove_unnamed(shared, lease, &mut state.link_place).await);
        if is_time(&mut state.search, SEARCH_INTERVAL) {
            let deleted = shared.delete_nameless().await.map(|objects| match objects {
                0 => {}
                _ => tracing::info!(objects, "objects that killed replicas had left in the bucket were deleted"),
            });
            report("objects that nothing names could not all be deleted", deleted);
        }
        // At the end: it takes longest, and where there are too many links to count, the rest is done all the same.
        report("groups could not be kept within their quotas", self.trim_groups(shared, lease).await);
    }

    async fn keep_bucket(&self, shared: &FleetContent, lease: &Lease, state: &mut State) -> Result<(), StoreError> {
        let kept = shared.keep(lease, self.max_bytes, &mut state.place).await?;
        metrics::gauge!("dependency_proxy_fleet_bucket_bytes").set(kept.bytes as f64);
        if kept.evicted > 0 {
            tracing::info!(objects = kept.evicted, "content that is seldom read goes from the bucket to make room");
        }
        Ok(())
    }

    /// Counts what groups hold, and removes links of those that hold more than their quotas.
    async fn trim_groups(&self, shared: &FleetContent, lease: &Lease) -> Result<(), StoreError> {
        let (directory, totals) = (self.policy.directory(), shared.count_totals(lease).await?);
        for (group, max_bytes) in directory.groups().filter_map(|group| Some((group.id, group.cache.max_bytes?))) {
            let held = totals.get(&group).map_or(0, |totals| totals.bytes);
            let links = shared.trim_group(lease, group, held, max_bytes).await?;
            if links > 0 {
                tracing::info!(group_id = group.0, links, "links of a group were removed for its quota");
            }
        }
        Ok(())
    }

    /// Removes the images that nobody has pulled for as many days as their groups keep them.
    async fn expire(&self, shared: &FleetContent) -> Result<(), StoreError> {
        let directory = self.policy.directory();
        for group in directory.groups().map(|group| group.id) {
            let Some(days) = policy::unpulled_days(&directory, group, self.unpulled_days) else { continue };
            // Some may have been pinned or pulled since they were found: as long as others go, there may be more.
            while self.expire_some(shared, group, days).await? > 0 {}
        }
        Ok(())
    }

    /// Removes some of these images of a group. Returns their number.
    async fn expire_some(&self, shared: &FleetContent, group: GroupId, days: u32) -> Result<usize, StoreError> {
        let mut images = 0;
        for (origin, references) in shared.unpulled(group, days).await? {
            images += self.janitor.remove_unpulled(group, origin, references, days).await?;
        }
        if images > 0 {
            tracing::info!(group_id = group.0, images, "images that nobody pulls were removed");
            metrics::counter!("dependency_proxy_expired_images_total").increment(images as u64);
        }
        Ok(images)
    }
}

async fn remove_unnamed(shared: &FleetContent, lease: &Lease, place: &mut LinkPlace) -> Result<(), StoreError> {
    let links = shared.remove_unnamed_links(lease, place).await?;
    if links > 0 {
        tracing::info!(links, "links to what no image names were removed");
    }
    Ok(())
}

/// Returns true if nothing was done for this time, and notes that it is done now.
fn is_time(last: &mut Option<Instant>, interval: Duration) -> bool {
    let is_time = last.is_none_or(|last| last.elapsed() >= interval);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}
