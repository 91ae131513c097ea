//! One interleaving of the real blob cache: handle, actor, downloads and readers on one thread, over a real store
//! in memory, with a clock that advances when nothing can run.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::mem;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use actix_rt::System;

use super::client::Client;
use super::oracle::Oracle;
use super::process::{DISK, LOSSES, Process};
use super::random::Random;
use super::scenario::{Caller, Disturbance, Scenario, Wants};
use super::scheduler::{Ended, Scheduler};
use super::step::{Step, Who};
use super::stepwise::Stepwise;
use super::upstream::Upstream;
use super::world::World;
use crate::actors::blob_cache::{BlobError, Transfer};
use crate::actors::cache_status::CacheStatus;
use crate::domain::id::GroupId;
use crate::store::blocking::scheduled;
use crate::store::link::Link;

/// One interleaving under way.
pub(super) struct Interleaving<'a> {
    pub(super) world: &'a World,
    pub(super) scenario: Arc<Scenario>,
    scheduler: Scheduler,
    pub(super) oracle: Oracle,
    upstream: Upstream,
    /// The path of the stored file, and its inode when it was checked last.
    pub(super) stored: PathBuf,
    pub(super) checked: Option<u64>,
}

/// The outcome of an interleaving.
pub(super) struct Run {
    pub(super) violations: Vec<String>,
    /// Events so far.
    pub(super) seen: HashSet<&'static str>,
    /// A hash of the order in which everything happened.
    pub(super) order: u64,
    pub(super) trace: Vec<Step>,
}

/// A call that is under way; its outcome is `None` if the caller has left.
pub(super) type RunningCall = actix_rt::task::JoinHandle<Option<Result<CacheStatus, BlobError>>>;

/// The group of the caller that comes at last, when upstream and the disk work again.
pub(super) const LAST_GROUP: u64 = 4;

impl World {
    /// Runs this interleaving, and removes what it has stored.
    pub(super) fn run(&self, scenario: Scenario, traced: bool) -> Run {
        let scheduler = Scheduler::new(Random::new(scenario.seed, 3), traced);
        let oracle = Oracle::new(scenario.content.clone());
        let upstream = Upstream::new(&scenario, &scheduler, &oracle);
        oracle.known().is_length_wrong = scenario.claims.iter().flatten().any(|claimed| *claimed != scenario.length());
        let (stored, scenario) = (self.files.path(&scenario.digest), Arc::new(scenario));
        let mut interleaving =
            Interleaving { world: self, scenario, scheduler, oracle, upstream, stored, checked: None };
        interleaving.claim();
        interleaving.all();
        self.empty(&interleaving.scenario);
        let Interleaving { oracle, scheduler, .. } = interleaving;
        let mut known = oracle.known();
        let (violations, seen) = (mem::take(&mut known.violations), mem::take(&mut known.seen));
        Run { violations, seen, order: scheduler.order(), trace: scheduler.trace() }
    }
}

impl Interleaving<'_> {
    /// Adds the links of the manifests that name the blob.
    fn claim(&self) {
        for (group, claimed) in (1..).zip(self.scenario.claims) {
            if let Some(size) = claimed {
                let links = [(self.scenario.digest, Link::referenced(Some(size)))];
                let index = self.world.content.engine().index();
                index.add_links(GroupId(group), &self.scenario.origin(false), &links).unwrap();
            }
        }
    }

    /// Runs the process, or two of which the first is killed.
    fn all(&mut self) {
        DISK.set(self.scenario.disk);
        LOSSES.set(self.scenario.losses);
        let runs_again = self.scenario.killed_after.is_some();
        if let Some(turns) = self.scenario.killed_after {
            self.in_process(async |this, process| this.act(&process, false, turns).await);
            self.scheduler.kill();
        }
        self.in_process(async |this, process| {
            this.act(&process, runs_again, usize::MAX).await;
            if this.scenario.has_last {
                this.last(&process).await;
            }
            this.check_rest(&process).await;
        });
        self.check();
        self.check_links();
    }

    /// Starts the process, and kills it at the end of this work.
    fn in_process(&mut self, work: impl AsyncFnOnce(&mut Self, Process)) {
        let clocked = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let system = System::with_tokio_rt(|| clocked().unwrap());
        let (scheduler, random) = (self.scheduler.clone(), RefCell::new(Random::new(self.scenario.seed, 4)));
        scheduled::schedule(Some(Box::new(move || {
            let turn = scheduler.work();
            let is_lost = LOSSES.get() > 0 && random.borrow_mut().one_in(LOSSES.get());
            Box::pin(async move {
                turn.await;
                if is_lost {
                    resume_unwind(Box::new("a fault of ours"));
                }
            })
        })));
        system.block_on(async {
            let process = Process::start(self.world, &self.scenario, &self.upstream);
            work(self, process).await;
        });
        drop(system);
        scheduled::schedule(None);
    }

    /// Runs the callers and disturbances of this process, up to this number of turns.
    async fn act(&mut self, process: &Process, is_again: bool, turns: usize) {
        let is_killed = self.scenario.killed_after.is_some();
        let mut callers = Vec::new();
        for (number, caller) in self.scenario.callers.iter().enumerate() {
            if !is_killed || caller.after_restart == is_again {
                callers.push((number, self.call(process, number, caller.clone())));
            }
        }
        for (number, (after, disturbance)) in self.scenario.disturbances.iter().enumerate() {
            if !is_killed || (number == 0) == is_again {
                self.disturb(process, self.scheduler.turn_after(*after, Who::Disturbance(number)), *disturbance);
            }
        }
        let ended = self.run(turns).await;
        if ended == Ended::Stopped {
            return;
        }
        for (number, caller) in callers {
            self.check_call(ended, number, caller).await;
        }
    }

    fn call(&self, process: &Process, number: usize, caller: Caller) -> RunningCall {
        let (blobs, oracle, scheduler) = (process.blobs.clone(), self.oracle.clone(), self.scheduler.clone());
        let (client, scenario) = (Client { blobs, oracle, scheduler }, Arc::clone(&self.scenario));
        let (who, turns) = (Who::Caller(number), (caller.after, caller.turns));
        let task = Stepwise::new(&self.scheduler, who, turns, async move { client.act(&scenario, caller).await });
        actix_rt::spawn(task)
    }

    fn disturb(&self, process: &Process, begun: impl Future<Output = ()> + 'static, disturbance: Disturbance) {
        let (process, scenario) = (process.clone(), Arc::clone(&self.scenario));
        let (spool, scheduler) = (self.world.folder.path().join("spool"), self.scheduler.clone());
        actix_rt::spawn(async move {
            begun.await;
            scheduler.note(|| format!("{disturbance:?}"));
            match disturbance {
                Disturbance::Removal => drop(process.files.remove(&scenario.digest).unwrap()),
                Disturbance::LostSpool => {
                    spool.read_dir().unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
                }
                Disturbance::FullDisk => DISK.set(0),
                Disturbance::ForgottenLinks => (1..4).for_each(|group| process.blobs.forget_group(GroupId(group))),
                Disturbance::Eviction => drop(process.evictor.make_room(scenario.length()).await),
                Disturbance::Finish => process.blobs.finish().await,
            }
        });
    }

    /// Checks that a new group gets the blob once upstream and the disk work again, and that the blob is then stored
    /// and needs no upstream.
    async fn last(&mut self, process: &Process) {
        self.upstream.recover();
        self.scheduler.hurry();
        DISK.set(u64::MAX);
        LOSSES.set(0);
        self.scheduler.note(|| "everything works again".to_owned());
        let caller = Caller {
            group: LAST_GROUP,
            elsewhere: false,
            wants: Wants::Whole(Transfer::Copy),
            after: 0,
            turns: usize::MAX,
            after_restart: true,
        };
        for is_stored in [false, true] {
            let before = self.oracle.known().requests;
            let call = self.call(process, self.scenario.callers.len(), caller.clone());
            let ended = self.run(usize::MAX).await;
            let outcome = self.check_call(ended, self.scenario.callers.len(), call).await;
            let outcome = outcome.unwrap_or(Err("nothing".to_owned()));
            let is_requested = self.oracle.known().requests > before;
            let is_small = self.scenario.options.max_blob_bytes.is_none_or(|max| max >= self.scenario.length());
            match outcome {
                Err(error) => self.oracle.violated(format!("the last caller got an error: {error}")),
                Ok(source) if is_stored && is_small && (is_requested || source != CacheStatus::Hit) => {
                    self.oracle
                        .violated(format!("what was stored is not there: {source:?}, requested: {is_requested}"));
                }
                Ok(_) => {}
            }
        }
    }

    async fn run(&mut self, turns: usize) -> Ended {
        let scheduler = self.scheduler.clone();
        scheduler.run(turns, || self.check()).await
    }
}
