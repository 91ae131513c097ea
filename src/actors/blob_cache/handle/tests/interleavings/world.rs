//! Runs one interleaving of the real blob cache: handle, actor, downloads and readers on one thread, over a real store
//! in memory, with a clock that advances when nothing can run.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_rt::{Arbiter, System};
use tempfile::TempDir;

use super::client::Client;
use super::oracle::Oracle;
use super::random::Random;
use super::scenario::{Caller, Disturbance, Scenario, Wants, has_database};
use super::scheduler::{Ended, Scheduler};
use super::step::{Step, Who};
use super::stepwise::Stepwise;
use super::upstream::Upstream;
use crate::actors::blob_cache::handle::tests::scene::{LIMITS, most};
use crate::actors::blob_cache::{BlobCacheHandle, BlobError, Transfer};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::cache_status::CacheStatus;
use crate::actors::evictor::Evictor;
use crate::actors::reads::Reads;
use crate::auth::sha256;
use crate::domain::id::GroupId;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;
use crate::store::blobs::BlobFiles;
use crate::store::blocking::scheduled;
use crate::store::content::ContentStore;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::embedded::index::Index;
use crate::store::link::Link;
use crate::store::manifests::ManifestStore;
use crate::store::spool::Spool;
use crate::store::usage::Usage;

thread_local! {
    /// Number of bytes that the disk of this thread takes.
    static DISK: Cell<u64> = const { Cell::new(u64::MAX) };
    /// One of this number of pieces of blocking work is lost on this thread; 0: none.
    static LOSSES: Cell<u64> = const { Cell::new(0) };
}

/// A store for many interleavings, one after the other.
pub(super) struct World {
    folder: TempDir,
    content: ContentStore,
    usage: Usage,
    files: BlobFiles,
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

/// One interleaving under way.
struct Interleaving<'a> {
    world: &'a World,
    scenario: Arc<Scenario>,
    scheduler: Scheduler,
    oracle: Oracle,
    upstream: Upstream,
    /// The path of the stored file, and its inode when it was checked last.
    stored: PathBuf,
    checked: Option<u64>,
}

/// The process of the service, from a start to its end.
#[derive(Clone)]
struct Process {
    blobs: BlobCacheHandle,
    files: BlobFiles,
    evictor: Evictor,
}

/// The group of the caller that comes at last, when upstream and the disk work again.
const LAST_GROUP: u64 = 4;

impl World {
    /// Creates a store for these seeds: one with a database, or one that has only the small files, as after damage,
    /// which takes a small part of the time.
    pub(super) fn of(seed: u64) -> Self {
        // In memory, where there is such a folder: on a disk, each commit would wait for it.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let (index, usage) = (Index::open(folder.path(), folder.path()).unwrap(), Usage::default());
        let index = if has_database(seed) { index } else { index.without_database() };
        let manifests = ManifestStore::new(folder.path()).counted_in(usage.clone());
        let content = ContentStore::embedded(EmbeddedContent::new(index, manifests));
        let files = BlobFiles::open(folder.path(), MinFree::Bytes(0), 64).unwrap();
        let files = files.within(Quota::Unlimited, usage.clone());
        Self { folder, content, usage, files }
    }

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
        self.empty(&interleaving);
        let Interleaving { oracle, scheduler, .. } = interleaving;
        let mut known = oracle.known();
        let (violations, seen) = (mem::take(&mut known.violations), mem::take(&mut known.seen));
        Run { violations, seen, order: scheduler.order(), trace: scheduler.trace() }
    }

    /// Removes the stored files of an interleaving.
    fn empty(&self, Interleaving { scenario, .. }: &Interleaving<'_>) {
        for content in std::iter::once(&scenario.content).chain(&scenario.other) {
            self.files.remove(&sha256::digest(content)).unwrap();
        }
        let index = self.content.engine().index();
        if scenario.other.is_some() {
            index.record_files(&self.usage, &HashMap::new()).unwrap();
        }
        if !has_database(scenario.seed) {
            fs::remove_dir_all(self.folder.path().join("groups")).ok();
        }
    }

    /// Checks that nothing is stored that nobody has requested.
    pub(super) fn end(self) {
        assert_eq!(self.files.digests().unwrap(), []);
    }

    fn files(&self, quota: Quota) -> BlobFiles {
        BlobFiles::open(self.folder.path(), MinFree::Bytes(0), 64).unwrap().within(quota, self.usage.clone())
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
            let process = self.start();
            work(self, process).await;
        });
        drop(system);
        scheduled::schedule(None);
    }

    fn start(&self) -> Process {
        let (world, scenario) = (self.world, &*self.scenario);
        let quota = match &scenario.other {
            Some(other) => Quota::Bytes(scenario.length() + other.len() as u64 - 1),
            None => Quota::Unlimited,
        };
        let files = world.files(quota);
        let spool = Spool::open_with(world.folder.path(), write).unwrap();
        if let Some(other) = &scenario.other {
            let (spooled, disk) = (spool.create().unwrap(), DISK.replace(u64::MAX));
            spooled.write_at(0, other).unwrap();
            DISK.set(disk);
            files.commit(spooled, &sha256::digest(other)).unwrap();
        }
        let evictor = Evictor::new(world.content.clone(), files.clone(), Reads::default());
        let group_quota = scenario.group_quota;
        let blobs = BlobCacheHandle::start(
            &Arbiter::current(),
            Arc::new(self.upstream.clone()),
            (world.content.clone(), files.clone(), spool),
            (evictor.clone(), Arc::new(move |group| group_quota.filter(|_| group == GroupId(2)))),
            (scenario.options.clone(), CacheLimits { max_waiters: most(scenario.max_waiters), ..LIMITS }),
        );
        let max = scenario.options.max_unstored_streams.get();
        self.upstream.bounded_by(blobs.shared.unstored_streams.clone(), max);
        Process { blobs, files, evictor }
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
            self.check_answer(ended, number, caller).await;
        }
    }

    fn call(&self, process: &Process, number: usize, caller: Caller) -> Answer {
        let (blobs, oracle, scheduler) = (process.blobs.clone(), self.oracle.clone(), self.scheduler.clone());
        let (client, scenario) = (Client { blobs, oracle, scheduler }, Arc::clone(&self.scenario));
        let (who, turns) = (Who::Caller(number), (caller.after, caller.turns));
        let task = Stepwise::new(&self.scheduler, who, turns, async move { client.act(&scenario, caller).await });
        actix_rt::spawn(task)
    }

    /// Checks that a caller was answered, or has left.
    async fn check_answer(&self, ended: Ended, number: usize, answer: Answer) -> Option<Result<CacheStatus, String>> {
        if !answer.is_finished() {
            self.oracle.violated(format!("caller {number} waits for ever ({ended:?})"));
            return None;
        }
        match answer.await {
            Ok(answer) => {
                self.oracle.known().sees(answer.as_ref().map_or("left", kind_of));
                if let Some(Err(error)) = &answer {
                    self.oracle.fails(error);
                }
                answer.map(|answer| answer.map_err(|error| error.to_string()))
            }
            Err(lost) => {
                let panic = lost.into_panic();
                let is_ours = panic.downcast_ref::<&str>().is_some_and(|fault| *fault == "a fault of ours");
                if !is_ours {
                    self.oracle.violated(format!("caller {number} panicked"));
                }
                None
            }
        }
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

    /// Once upstream and the disk work again, a new group gets the blob, which is stored, and then needs no upstream.
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
            let answer = self.call(process, self.scenario.callers.len(), caller.clone());
            let ended = self.run(usize::MAX).await;
            let answer = self.check_answer(ended, self.scenario.callers.len(), answer).await;
            let answer = answer.unwrap_or(Err("nothing".to_owned()));
            let is_asked = self.oracle.known().requests > before;
            let is_small = self.scenario.options.max_blob_bytes.is_none_or(|max| max >= self.scenario.length());
            match answer {
                Err(error) => self.oracle.violated(format!("the last caller got an error: {error}")),
                Ok(source) if is_stored && is_small && (is_asked || source != CacheStatus::Hit) => {
                    self.oracle.violated(format!("what was stored is not there: {source:?}, requested: {is_asked}"));
                }
                Ok(_) => {}
            }
        }
    }

    /// Checks that nothing is under way any more.
    async fn check_rest(&self, process: &Process) {
        let downloads = process.blobs.downloads().await;
        if !downloads.is_empty() {
            self.oracle.violated(format!("{downloads:?} never ends"));
        }
        let BlobCacheHandle { shared, waiters, range_streams, .. } = &process.blobs;
        let options = &self.scenario.options;
        let free = [shared.unstored_streams.free(), range_streams.free(), waiters.free()];
        let max = [options.max_unstored_streams.get(), options.max_range_streams.get(), self.scenario.max_waiters];
        if free != max {
            self.oracle.violated(format!("of {max:?} permits, {free:?} are free"));
        }
        if self.world.folder.path().join("spool").read_dir().unwrap().next().is_some() {
            self.oracle.violated("a file is left in the spool".to_owned());
        }
    }

    async fn run(&mut self, turns: usize) -> Ended {
        let scheduler = self.scheduler.clone();
        scheduler.run(turns, || self.check()).await
    }

    /// Checks what is stored, if it has changed.
    fn check(&mut self) {
        let inode = fs::metadata(&self.stored).ok().map(|file| file.ino());
        if let Some(what) = match (self.checked, inode) {
            (Some(_), None) => Some("a stored file is removed"),
            (Some(before), Some(now)) if before != now => Some("a stored file is replaced"),
            _ => None,
        } {
            self.oracle.known().sees(what);
        }
        if inode.is_some() && inode != self.checked {
            self.oracle.stores(&fs::read(&self.stored).unwrap());
        }
        self.checked = inode;
    }

    /// Checks that no group has a link to what upstream has not served to its account.
    fn check_links(&self) {
        let index = self.world.content.engine().index();
        for (group, elsewhere) in (1..=LAST_GROUP).flat_map(|group| [(group, false), (group, true)]) {
            let origin = self.scenario.origin(elsewhere);
            let link = index.link(GroupId(group), &origin, &self.scenario.digest).unwrap();
            let is_granted = link.is_some_and(|link| link.is_granted());
            if is_granted && !(self.oracle.known().accepted.contains(&origin) && self.oracle.is_all_sent()) {
                self.oracle.violated(format!("group {group} has a link to what upstream has not served"));
            }
        }
    }
}

fn kind_of(answer: &Result<CacheStatus, BlobError>) -> &'static str {
    match answer {
        Ok(CacheStatus::Hit) => "hit",
        Ok(CacheStatus::Miss) => "miss",
        Ok(CacheStatus::Coalesced) => "coalesced",
        Ok(CacheStatus::Revalidated) => "revalidated",
        Ok(_) => "another",
        Err(BlobError::WrongDigest) => "wrong digest",
        Err(BlobError::WrongLength { .. }) => "wrong length",
        Err(BlobError::Busy) => "busy",
        Err(BlobError::TooSlow) => "too slow",
        Err(BlobError::Interrupted) => "interrupted",
        Err(BlobError::NoLength) => "no length",
        Err(BlobError::Unavailable(_)) => "unavailable",
        Err(BlobError::Unknown | BlobError::Denied { .. }) => "refused",
        Err(BlobError::Store(_)) => "store failed",
    }
}

type Answer = actix_rt::task::JoinHandle<Option<Result<CacheStatus, BlobError>>>;

/// Writes to the disk of this thread.
fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let fitting = bytes.len().min(DISK.get().saturating_sub(offset) as usize);
    file.write_all_at(&bytes[..fitting], offset)?;
    if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
