//! The actor: starts the work when it is time for it, at most one run of each kind at a time.

use std::time::{Duration, Instant};

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::parts::Parts;
use super::purges::Purges;
use super::tasks::report;
use super::{CompleteRemovals, Finish, Purge, Purged, RemovalsCompleted};
use crate::actors::abort_on_panic::abort_on_panic;
use crate::domain::id::GroupId;
use crate::store::error::StoreError;

/// Actor for background work; see the module.
pub struct Janitor {
    parts: Parts,
    /// The periodic run that is under way.
    periodic_run: Option<JoinHandle<()>>,
    /// The run that removes what is old.
    expiry_run: Option<JoinHandle<()>>,
    /// Time of the next such run.
    next_expiry: Timestamp,
    /// The clock at the last such run.
    clock: Clock,
    /// Earliest time at which such a run also removes links to content that no image names.
    next_unnamed_removal: Timestamp,
    purges: Purges,
    removals: RemovalRun,
}

/// State of the run that completes removals of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RemovalRun {
    #[default]
    Idle,
    Running,
    /// More removals were recorded since the run began.
    RunningAndMore,
}

/// Interval of the periodic run: times of last use, index, export of the identities, gauges.
const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// Interval at which old tombstones and the times of deleted credentials are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// Interval at which images are removed that nobody pulls. The first time is as long after a start, so that after a
/// long stop there is time to pull.
const EXPIRY_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Interval at which links to content that no image names are removed. The first such removal is with the first removal
/// of images, so that it also happens where the service is restarted every day.
const UNNAMED_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// Interval of the sweep for deleted groups. It removes what a download leaves behind if its group was deleted before
/// its end.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

impl Janitor {
    /// Creates the actor, with nothing under way.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            periodic_run: None,
            expiry_run: None,
            next_expiry: Timestamp::now() + EXPIRY_INTERVAL,
            clock: Clock::new(Timestamp::now(), Instant::now()),
            next_unnamed_removal: Timestamp::now(),
            purges: Purges::default(),
            removals: RemovalRun::default(),
        }
    }

    /// Starts a periodic run, unless the one before is still under way.
    fn tidy(&mut self, _: &mut Context<Self>) {
        if self.periodic_run.as_ref().is_none_or(JoinHandle::is_finished) {
            let parts = self.parts.clone();
            self.periodic_run = Some(actix_rt::spawn(async move { parts.tidy().await }));
        }
    }

    /// Starts a run that removes what nobody pulls, if it is time for it and the run before has ended. Skips one run if
    /// the clock has jumped forward, because everything would be old at once: this leaves time to correct the clock.
    fn expire(&mut self, _: &mut Context<Self>) {
        let now = Timestamp::now();
        if now < self.next_expiry || !self.expiry_run.as_ref().is_none_or(JoinHandle::is_finished) {
            return;
        }
        self.next_expiry = now + EXPIRY_INTERVAL;
        if let Some(ahead) = self.clock.jump(now, Instant::now()) {
            let hours = ahead.as_hours();
            tracing::warn!(
                hours,
                "the clock of this machine has jumped forward: correct it within an hour if it is wrong, because then images \
                 are removed for their age"
            );
            return;
        }
        let removes_unnamed = now >= self.next_unnamed_removal;
        if removes_unnamed {
            self.next_unnamed_removal = now + UNNAMED_INTERVAL;
        }
        let parts = self.parts.clone();
        self.expiry_run = Some(actix_rt::spawn(async move {
            report("the removal of old audit events", parts.audit.expire(now).await);
            report("the removal of old images", parts.expire(now).await);
            report("the end of old traffic", parts.forget_old_traffic(now).await);
            report("the end of old records of pulls", parts.forget_old_pullers(now).await);
            if removes_unnamed {
                report("the removal of what no image names", parts.remove_unnamed(now).await);
            }
        }));
    }

    fn purge(&self, group: GroupId, ctx: &Context<Self>) {
        let (parts, me) = (self.parts.clone(), ctx.address());
        // A deleted group has no path any more.
        let directory = parts.policy.directory();
        let path = directory.group(group).map(|group| group.path.to_string());
        actix_rt::spawn(async move {
            match parts.purge(group).await {
                Ok(files) => tracing::info!(group = path, group_id = group.0, files, "a group's cache was purged"),
                // The next start continues the purge.
                Err(StoreError::Closed) => {}
                Err(error) => {
                    tracing::warn!(group = path, group_id = group.0, %error, "a group's cache could not be purged");
                }
            }
            me.do_send(Purged);
        });
    }

    fn purge_deleted(&mut self, _: &mut Context<Self>) {
        let parts = self.parts.clone();
        actix_rt::spawn(async move { report("the end of deleted groups' caches", parts.purge_deleted().await) });
    }

    fn complete_removals(&mut self, ctx: &mut Context<Self>) {
        if self.removals != RemovalRun::Idle {
            self.removals = RemovalRun::RunningAndMore;
            return;
        }
        self.removals = RemovalRun::Running;
        let (parts, me) = (self.parts.clone(), ctx.address());
        actix_rt::spawn(async move {
            report("the end of removed images", parts.complete_removals().await);
            me.do_send(RemovalsCompleted);
        });
    }

    fn forget_old_tokens(&mut self, _: &mut Context<Self>) {
        let parts = self.parts.clone();
        actix_rt::spawn(async move { parts.forget_old_tokens().await });
    }
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let parts = self.parts.clone();
        actix_rt::spawn(async move {
            parts.remove_leftovers().await;
            parts.reconcile().await;
        });
        let content = self.parts.content.clone();
        // Pages show the totals once they are counted, and do not wait for it.
        actix_rt::spawn(async move { report("the totals of groups", content.count_totals().await.map(drop)) });
        ctx.run_interval(TIDY_INTERVAL, Self::tidy);
        ctx.run_interval(FORGET_INTERVAL, Self::forget_old_tokens);
        ctx.run_interval(TIDY_INTERVAL, Self::expire);
        ctx.run_interval(SWEEP_INTERVAL, Self::purge_deleted);
        ctx.run_interval(SWEEP_INTERVAL, Self::complete_removals);
        // A purge that the last process acknowledged may not have run to its end.
        self.purge_deleted(ctx);
        self.complete_removals(ctx);
    }
}

impl Handler<CompleteRemovals> for Janitor {
    type Result = ();

    fn handle(&mut self, _: CompleteRemovals, ctx: &mut Self::Context) {
        self.complete_removals(ctx);
    }
}

impl Handler<RemovalsCompleted> for Janitor {
    type Result = ();

    fn handle(&mut self, _: RemovalsCompleted, ctx: &mut Self::Context) {
        if std::mem::take(&mut self.removals) == RemovalRun::RunningAndMore {
            self.complete_removals(ctx);
        }
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
        let (parts, periodic_run) = (self.parts.clone(), self.periodic_run.take());
        Box::pin(async move {
            // An older export that is written meanwhile must not replace the last one.
            if let Some(periodic_run) = periodic_run {
                drop(periodic_run.await);
            }
            parts.finish().await;
        })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        abort_on_panic("Janitor");
    }
}
