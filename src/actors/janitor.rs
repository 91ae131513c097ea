//! The Janitor does what nobody waits for: writes when credentials were last used, exports the identities after changes,
//! forgets old tombstones, and removes what purged and deleted groups had cached.

mod parts;
mod purges;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

pub use self::parts::Parts;

use self::parts::report;
use self::purges::Purges;
use super::abort_on_panic::abort_on_panic;
use super::blob_cache::Blobs;
use crate::domain::edit::retention;
use crate::domain::id::GroupId;
use crate::store::index::Index;

pub use crate::store::index::Holdings;

/// Tidies up; see the module.
pub struct Janitor {
    parts: Parts,
    busy: bool,
    purges: Purges,
}

/// What the rest of the service holds.
#[derive(Clone)]
pub struct Tidying {
    actor: Addr<Janitor>,
    index: Arc<Index>,
    blobs: Blobs,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Purge(GroupId);

#[derive(Message)]
#[rtype(result = "()")]
struct Purged;

/// Writes everything that is waiting, and answers when it is on the disk.
#[derive(Message)]
#[rtype(result = "()")]
struct Finish;

#[derive(Message)]
#[rtype(result = "()")]
struct Tidied;

const EVERY: Duration = Duration::from_secs(5);
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// A download that ends after its group does leaves something behind for so long.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

impl Tidying {
    /// Starts the actor on this arbiter.
    pub fn start(parts: Parts, arbiter: &ArbiterHandle) -> Self {
        let (index, blobs) = (parts.index.clone(), parts.blobs.clone());
        let janitor = Janitor { parts, busy: false, purges: Purges::default() };
        Self { actor: Janitor::start_in_arbiter(arbiter, |_| janitor), index, blobs }
    }

    /// Takes everything that this group has cached from it: links and tags go first, then the files that no group may open any
    /// more. Returns as soon as that is certain to happen, also where the process ends before.
    pub async fn purge(&self, group: GroupId) {
        let index = self.index.clone();
        match spawn_blocking(move || index.mark_forgotten(group)).await {
            Ok(noted) => report("the note of a purge", noted),
            Err(panic) => tracing::error!(%group, %panic, "noting a purge failed"),
        }
        self.actor.do_send(Purge(group));
    }

    /// The holdings of these groups together; `None` where that cannot be read, which is logged.
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

    /// Writes everything that is waiting to be written, and waits for the blobs that are being stored.
    pub async fn finish(&self) {
        self.blobs.finish().await;
        if self.actor.send(Finish).await.is_err() {
            tracing::warn!("the last times of use may not have been written");
        }
    }
}

impl Janitor {
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
            let forget = move |directory: &_| retention::forget(directory, max, Timestamp::now());
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
        ctx.run_interval(EVERY, Self::tidy);
        ctx.run_interval(FORGET_EVERY, Self::forget_old_tokens);
        ctx.run_interval(SWEEP_EVERY, Self::purge_deleted);
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
        if let Some(group) = self.purges.ask(group) {
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
