//! Deterministic scheduler of one interleaving. Each step of a caller, of upstream, of blocking work and of a
//! disturbance waits for its turn. A seeded choice gives one of them its turn, or lets time pass. So the seed alone
//! decides the order of all steps.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::random::{Random, mixed};
use super::step::{Step, Who};

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
const QUIET_TIMEOUT: Duration = Duration::from_secs(200);

/// Lengths of the times that the scheduler lets pass, in milliseconds: about the intervals and timeouts of a download.
const PASSING_MILLIS: [u64; 8] = [2, 4, 7, 60, 150, 900, 6_000, 31_000];

/// The scheduler of one interleaving. Cheap to clone; clones share their state.
#[derive(Clone)]
pub(super) struct Scheduler {
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

struct State {
    waiting: Vec<Waiting>,
    random: Random,
    /// Time passes about once in this number of turns; 0: never.
    turns_per_time: u64,
    turns: usize,
    works: usize,
    /// True if the last turn may have changed the store.
    is_changed: bool,
    order: u64,
    trace: Option<Vec<Step>>,
}

struct Waiting {
    who: Who,
    /// Number of turns of all that are given before this one, unless nobody else waits.
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
        let (turns_per_time, trace) = (random.of(&[8, 30, 100, 100]), traced.then(Vec::new));
        let state = State {
            waiting: Vec::new(),
            random,
            turns_per_time,
            turns: 0,
            works: 0,
            is_changed: false,
            order: 0,
            trace,
        };
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
                None if timeout(QUIET_TIMEOUT, self.arrived.notified()).await.is_err() => return Ended::Quiet,
                None => {}
            }
        }
    }

    /// Lets no time pass any more while somebody waits for a turn.
    pub(super) fn hurry(&self) {
        self.state().turns_per_time = 0;
    }

    /// Forgets all waiters, because the process was killed.
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

    /// Chooses the next step, independent of the order in which the waiters came; `None` if nobody waits.
    fn choose(&mut self) -> Option<Choice> {
        // Waiters that have left no longer hold their turn.
        self.waiting.retain(|waiting| Arc::strong_count(&waiting.turn) > 1);
        if self.waiting.is_empty() {
            return None;
        }
        if self.turns_per_time > 0 && self.random.one_in(self.turns_per_time) {
            let time = Duration::from_millis(self.random.of(&PASSING_MILLIS));
            self.record(time.as_millis() as u64, Step::Time(time));
            return Some(Choice::Time(time));
        }
        let (turns, choice) = (self.turns, self.random.next());
        let rank = |waiting: &Waiting| {
            // Waiters with a later turn come after all others, in the order of their turns.
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

/// Lets all tasks run that are ready. The clock advances only when no task is ready, and this one waits.
async fn others_run() {
    let mut have_run = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if mem::replace(&mut have_run, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
