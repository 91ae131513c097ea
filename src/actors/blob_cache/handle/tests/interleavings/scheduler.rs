//! Deterministic scheduler of one interleaving. Everything that could happen waits for its turn: each step of a caller,
//! of upstream, of blocking work and of a disturbance. A seeded choice gives one of them its turn, or lets time pass.
//! So the seed alone decides the order of everything.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::task::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Source of seeded choices: splitmix64.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Returns the choices of one part of an interleaving, which do not depend on those of the others.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let mut random = Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }

    /// Returns a number from 0 to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns true once in this number of times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of these.
    pub(super) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }
}

fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Party that waits for a turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    /// A caller, by its number.
    Caller(usize),
    /// A request to upstream, by its number.
    Upstream(usize),
    /// Blocking work, by its number.
    Work(usize),
    /// A disturbance, by its number.
    Disturbance(usize),
}

impl Who {
    /// Returns a number that is nobody else's.
    fn code(self) -> u64 {
        let (kind, number) = match self {
            Self::Caller(number) => (1, number),
            Self::Upstream(number) => (2, number),
            Self::Work(number) => (3, number),
            Self::Disturbance(number) => (4, number),
        };
        kind << 32 | number as u64
    }
}

/// A step of the interleaving.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Turn(Who),
    Time(Duration),
    Note(String),
}

/// Reason why the scheduler has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nobody waits for a turn, and no timer has changed that for longer than any timeout.
    Quiet,
    /// The given number of turns was reached.
    Stopped,
    /// There were too many turns: something does not end.
    Endless,
}

/// Maximum number of turns of an interleaving.
const MAX_TURNS: usize = 20_000;

/// Time without a turn after which nothing more happens: longer than each timeout.
const QUIET: Duration = Duration::from_secs(200);

/// Times that pass at once, in milliseconds: about the intervals and timeouts of a download.
const TIMES: [u64; 8] = [2, 4, 7, 60, 150, 900, 6_000, 31_000];

/// The scheduler of one interleaving. Cheap to clone; clones share their state.
#[derive(Clone)]
pub(super) struct Scheduler {
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

struct State {
    waiting: Vec<Waiting>,
    random: Random,
    /// One in this number of turns, time passes; 0: never.
    calm: u64,
    turns: usize,
    works: usize,
    /// True if the last turn may have changed the store.
    is_changed: bool,
    order: u64,
    trace: Option<Vec<Step>>,
}

struct Waiting {
    who: Who,
    /// There is no turn before this number of turns was given, unless nobody else waits.
    after: usize,
    turn: Arc<Granted>,
}

/// A turn, once it is granted.
#[derive(Default)]
struct Granted {
    is_granted: AtomicBool,
    waker: AtomicWaker,
}

/// Waits for a turn. Never ends if the scheduler forgets it.
pub(super) struct Turn(Arc<Granted>);

impl Future for Turn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.waker.register(context.waker());
        if self.0.is_granted.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Scheduler {
    pub(super) fn new(mut random: Random, traced: bool) -> Self {
        let (calm, trace) = (random.of(&[8, 30, 100, 100]), traced.then(Vec::new));
        let (waiting, turns, works, is_changed, order) = Default::default();
        let state = State { waiting, random, calm, turns, works, is_changed, order, trace };
        Self { state: Arc::new(Mutex::new(state)), arrived: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for a turn of `who`, from now on.
    pub(super) fn turn(&self, who: Who) -> Turn {
        self.turn_after(0, who)
    }

    /// Waits for a turn of `who` after this number of turns of all.
    pub(super) fn turn_after(&self, after: usize, who: Who) -> Turn {
        let turn = Arc::new(Granted::default());
        self.state().waiting.push(Waiting { who, after, turn: Arc::clone(&turn) });
        self.arrived.notify_one();
        Turn(turn)
    }

    /// Waits for the turn of the next blocking work.
    pub(super) fn work(&self) -> Turn {
        let mut state = self.state();
        state.works += 1;
        let who = Who::Work(state.works);
        drop(state);
        self.turn(who)
    }

    /// Adds a note to the trace, if there is one.
    pub(super) fn note(&self, note: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.state().trace {
            trace.push(Step::Note(note()));
        }
    }

    /// Gives turns until nobody waits for one any more, or until this number of turns was given in all. Calls `check`
    /// after each change of the store.
    pub(super) async fn run(&self, turns: usize, mut check: impl FnMut()) -> Ended {
        loop {
            others_run().await;
            let (given, is_changed) = self.state().given();
            if is_changed {
                check();
            }
            if given >= turns {
                return Ended::Stopped;
            }
            if given >= MAX_TURNS {
                return Ended::Endless;
            }
            let next = self.state().choose();
            match next {
                Some(Choice::Turn(turn)) => {
                    turn.is_granted.store(true, Ordering::SeqCst);
                    turn.waker.wake();
                }
                Some(Choice::Time(time)) => sleep(time).await,
                None if timeout(QUIET, self.arrived.notified()).await.is_err() => return Ended::Quiet,
                None => {}
            }
        }
    }

    /// Lets no time pass any more while somebody waits for a turn.
    pub(super) fn hurry(&self) {
        self.state().calm = 0;
    }

    /// Forgets who waits: the process was killed.
    pub(super) fn kill(&self) {
        self.state().waiting.clear();
    }

    /// Returns a hash of the order of all turns.
    pub(super) fn order(&self) -> u64 {
        self.state().order
    }

    /// Returns the trace; empty if there is none.
    pub(super) fn trace(&self) -> Vec<Step> {
        self.state().trace.clone().unwrap_or_default()
    }
}

enum Choice {
    Turn(Arc<Granted>),
    Time(Duration),
}

impl State {
    /// Returns the number of turns that were given, and whether the last one may have changed the store.
    fn given(&mut self) -> (usize, bool) {
        (self.turns, mem::take(&mut self.is_changed))
    }

    /// Chooses who is next, which does not depend on who came first; `None` if nobody waits.
    fn choose(&mut self) -> Option<Choice> {
        // Those who have left hold their turn no more.
        self.waiting.retain(|waiting| Arc::strong_count(&waiting.turn) > 1);
        if self.waiting.is_empty() {
            return None;
        }
        if self.calm > 0 && self.random.one_in(self.calm) {
            let time = Duration::from_millis(self.random.of(&TIMES));
            self.record(time.as_millis() as u64, Step::Time(time));
            return Some(Choice::Time(time));
        }
        let (turns, choice) = (self.turns, self.random.next());
        let rank = |waiting: &Waiting| {
            // Those whose turn is later come in their order, after all others.
            let later = if waiting.after > turns { waiting.after } else { 0 };
            (later, mixed(choice ^ waiting.who.code()))
        };
        let (chosen, _) = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| rank(waiting))?;
        let Waiting { who, turn, .. } = self.waiting.swap_remove(chosen);
        self.turns += 1;
        self.is_changed = matches!(who, Who::Work(_) | Who::Disturbance(_));
        self.record(who.code(), Step::Turn(who));
        Some(Choice::Turn(turn))
    }

    fn record(&mut self, code: u64, step: Step) {
        self.order = mixed(self.order ^ code);
        if let Some(trace) = &mut self.trace {
            trace.push(step);
        }
    }
}

/// Lets all tasks run that can. The clock advances only when none can, and this task waits.
async fn others_run() {
    let mut have_run = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if mem::replace(&mut have_run, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(who) => write!(f, "{who:?}"),
            Self::Time(time) => write!(f, "{time:?} pass"),
            Self::Note(note) => write!(f, "    {note}"),
        }
    }
}

/// A task that begins after a number of turns of all, is polled only at its turn, however often it is woken, and leaves
/// after a number of turns of its own.
pub(super) struct Stepwise<T> {
    task: LocalBoxFuture<'static, T>,
    scheduler: Scheduler,
    who: Who,
    woken: Arc<Woken>,
    turn: Option<Turn>,
    turns_left: usize,
}

#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}

impl<T> Stepwise<T> {
    pub(super) fn new(
        scheduler: &Scheduler,
        who: Who,
        (after, turns_left): (usize, usize),
        task: impl Future<Output = T> + 'static,
    ) -> Self {
        let (woken, turn) = (Arc::default(), Some(scheduler.turn_after(after, who)));
        Self { task: Box::pin(task), scheduler: scheduler.clone(), who, woken, turn, turns_left }
    }
}

impl<T> Future for Stepwise<T> {
    /// `None` if it left.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            self.woken.outer.register(context.waker());
            let this = &mut *self;
            let turn = match &mut this.turn {
                Some(turn) => turn,
                none if this.woken.is_woken.swap(false, Ordering::SeqCst) => none.insert(this.scheduler.turn(this.who)),
                None => return Poll::Pending,
            };
            ready!(Pin::new(turn).poll(context));
            this.turn = None;
            if this.turns_left == 0 {
                return Poll::Ready(None);
            }
            this.turns_left -= 1;
            let waker = Waker::from(Arc::clone(&this.woken));
            if let Poll::Ready(done) = this.task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(Some(done));
            }
        }
    }
}
