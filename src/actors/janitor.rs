//! The Janitor does background work: it writes the times at which credentials were last used, exports the
//! identities after changes, forgets old tombstones, and removes the cached content of purged and deleted groups.

mod purges;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

pub use self::tasks::Parts;

use self::purges::Purges;
use self::tasks::report;
use super::abort_on_panic::abort_on_panic;
use super::blob_cache::BlobCacheHandle;
use crate::domain::commands::retention;
use crate::domain::id::GroupId;
use crate::store::embedded::index::Index;

pub use crate::store::embedded::index::Holdings;

/// Actor for background work; see the module.
pub struct Janitor {
    parts: Parts,
    /// True while a periodic run is under way.
    busy: bool,
    purges: Purges,
}

/// Handle of the [`Janitor`].
#[derive(Clone)]
pub struct JanitorHandle {
    actor: Addr<Janitor>,
    index: Arc<Index>,
    blobs: BlobCacheHandle,
}

/// Queues the purge of a group's cache.
#[derive(Message)]
#[rtype(result = "()")]
struct Purge(GroupId);

/// Reports that the running purge has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Purged;

/// Writes everything that waits to be written. The reply means that it is on the disk.
#[derive(Message)]
#[rtype(result = "()")]
struct Finish;

/// Reports that a periodic run has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Tidied;

/// Interval of the periodic run: times of last use, index, export of the identities, gauges.
const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// Interval at which old tombstones and the times of deleted credentials are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// Interval of the sweep for deleted groups. A download that ends after its group was deleted leaves files until then.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

impl JanitorHandle {
    /// Starts the actor on this arbiter.
    pub fn start(parts: Parts, arbiter: &ArbiterHandle) -> Self {
        let (index, blobs) = (parts.index.clone(), parts.blobs.clone());
        let janitor = Janitor { parts, busy: false, purges: Purges::default() };
        Self { actor: Janitor::start_in_arbiter(arbiter, |_| janitor), index, blobs }
    }

    /// Removes everything that this group has cached: first its links and tags, then the files that no other group has
    /// a link to. Returns once the purge is recorded on disk, so that it also happens if the process ends before.
    pub async fn purge(&self, group: GroupId) {
        let index = self.index.clone();
        match spawn_blocking(move || index.mark_forgotten(group)).await {
            Ok(noted) => report("the note of a purge", noted),
            Err(panic) => tracing::error!(%group, %panic, "noting a purge failed"),
        }
        self.actor.do_send(Purge(group));
    }

    /// Returns what these groups have cached, added up. Returns `None`, and logs the reason, if the index
    /// cannot be read.
    pub async fn holdings(&self, groups: Vec<GroupId>) -> Option<Holdings> {
        let index = self.index.clone();
        match spawn_blocking(move || index.holdings(&groups)).await {
            Ok(Ok(holdings)) => Some(holdings),
            Ok(Err(error)) => {
                tracing::warn!(%error, "what groups have cached could not be counted");
                None
            }
            Err(panic) => {
                tracing::error!(%panic, "counting what groups have cached failed");
                None
            }
        }
    }

    /// Waits for the blobs that are being stored, then writes everything that waits to be written. Called at shutdown.
    pub async fn finish(&self) {
        self.blobs.finish().await;
        if self.actor.send(Finish).await.is_err() {
            tracing::warn!("the last changes and times of last use may not have been written");
        }
    }
}

impl Janitor {
    /// Starts a periodic run on a blocking thread, unless the one before is still under way.
    fn tidy(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        self.busy = true;
        let (parts, me) = (self.parts.clone(), ctx.address());
        actix_rt::spawn(async move {
            if let Err(panic) = spawn_blocking(move || parts.tidy()).await {
                tracing::error!(%panic, "tidying up failed");
            }
            me.do_send(Tidied);
        });
    }

    fn purge(&self, group: GroupId, ctx: &Context<Self>) {
        let (parts, me) = (self.parts.clone(), ctx.address());
        actix_rt::spawn(async move {
            match spawn_blocking(move || parts.purge(group)).await {
                Ok(Ok(files)) => tracing::info!(%group, files, "a group's cache was purged"),
                Ok(Err(error)) => tracing::warn!(%group, %error, "a group's cache could not be purged"),
                Err(panic) => tracing::error!(%group, %panic, "purging a group's cache failed"),
            }
            me.do_send(Purged);
        });
    }

    fn purge_deleted(&mut self, _: &mut Context<Self>) {
        let parts = self.parts.clone();
        actix_rt::spawn(async move {
            match spawn_blocking(move || parts.purge_deleted()).await {
                Ok(purged) => report("the end of deleted groups' caches", purged),
                Err(panic) => tracing::error!(%panic, "purging the caches of deleted groups failed"),
            }
        });
    }

    fn forget_old_tokens(&mut self, _: &mut Context<Self>) {
        let parts = self.parts.clone();
        actix_rt::spawn(async move {
            let max = parts.max_tombstones;
            let forget = move |directory: &_| retention::expire(directory, max, Timestamp::now());
            let forgotten = parts.policy.change(forget).await;
            if let Err(error) = forgotten {
                tracing::warn!(?error, "old tombstones and revoked tokens could not be forgotten");
            }
            match spawn_blocking(move || parts.forget_last_used()).await {
                Ok(forgotten) => report("the end of deleted credentials' times of last use", forgotten),
                Err(panic) => tracing::error!(%panic, "forgetting when deleted credentials were last used failed"),
            }
        });
    }
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let leftovers = self.parts.leftovers.clone();
        actix_rt::spawn(spawn_blocking(move || match leftovers.remove() {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed what killed processes had left half-written"),
            Err(error) => tracing::warn!(%error, "what killed processes left half-written could not all be removed"),
        }));
        ctx.run_interval(TIDY_INTERVAL, Self::tidy);
        ctx.run_interval(FORGET_INTERVAL, Self::forget_old_tokens);
        ctx.run_interval(SWEEP_INTERVAL, Self::purge_deleted);
        // A purge that the last process acknowledged may not have run to its end.
        self.purge_deleted(ctx);
    }
}

impl Handler<Tidied> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Tidied, _: &mut Self::Context) {
        self.busy = false;
    }
}

impl Handler<Purge> for Janitor {
    type Result = ();

    fn handle(&mut self, Purge(group): Purge, ctx: &mut Self::Context) {
        if let Some(group) = self.purges.add(group) {
            self.purge(group, ctx);
        }
    }
}

impl Handler<Purged> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Purged, ctx: &mut Self::Context) {
        if let Some(group) = self.purges.ended() {
            self.purge(group, ctx);
        }
    }
}

impl Handler<Finish> for Janitor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Finish, _: &mut Self::Context) -> Self::Result {
        let parts = self.parts.clone();
        Box::pin(async move {
            let written = spawn_blocking(move || parts.finish());
            if let Err(panic) = written.await {
                tracing::error!(%panic, "the last changes could not be written");
            }
        })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        abort_on_panic("Janitor");
    }
}
