//! Turns of the connections of one worker thread: while clients of several groups use it, groups take turns, so that a
//! herd of one group delays a request of another by one turn instead of by one turn of each of its connections.
//!
//! A runtime polls ready tasks in the order in which they became ready. So while groups share a thread, a connection
//! that is ready to do something is only put into a queue. Connections are admitted from there in the order of
//! [`FairQueue`], for about [`QUANTUM`] at a time, and new events are noticed in between. Nobody waits while the thread
//! has nothing else to do, and where a group is alone the queue is not used. The connection of a client that reads
//! nothing is not ready, and so not in the queue. Each connection is in it at most once, so that `max_connections`
//! bounds it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use metrics::Gauge;
use tokio::task::yield_now;

use crate::domain::fair_queue::FairQueue;
use crate::domain::id::GroupId;
use crate::http::SendQueue;

/// The turns of one thread. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(in crate::server) struct Turns(Rc<Shared>);

#[derive(Default)]
struct Shared {
    /// The group of the connection that was polled last, of those whose group is known.
    last: Cell<Option<GroupId>>,
    /// Time at which another group than the last one was polled; `None` if that was long ago.
    shared_at: Cell<Option<Instant>>,
    /// Bytes that the present turn may still send.
    left: Cell<Option<usize>>,
    waiting: RefCell<FairQueue<Option<GroupId>, Rc<Entry>>>,
    /// The task that admits, while nobody waits.
    admitting: Cell<Option<Waker>>,
}

/// A connection in the queue, or that was in it.
#[derive(Default)]
struct Entry {
    state: Cell<State>,
    task: RefCell<Option<Waker>>,
    /// Duration of its last turn, if it had one.
    cost: Cell<Option<Duration>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Outside,
    Waiting,
    Admitted,
}

/// Time for which connections are admitted before the thread looks for new events. A turn is not interrupted, so it may
/// take longer.
const QUANTUM: Duration = Duration::from_micros(50);
/// Assumed duration of the first turn of a connection.
const UNKNOWN_COST: Duration = Duration::from_nanos(12_500);
/// Maximum number of bytes that a turn sends while groups share the thread.
const MAX_BYTES: usize = 256 << 10;
/// Time for which a thread counts as shared after the last request of another group. It is long, because a group that
/// pulls seldom would otherwise wait for one turn of each connection at every pull.
const SHARED_TIMEOUT: Duration = Duration::from_secs(10);

static WAITING: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("dependency_proxy_connections_waiting_for_turn"));

impl Turns {
    /// Runs the connection that this queue belongs to, in turns.
    pub(super) async fn take(&self, queue: &SendQueue, connection: impl Future<Output = ()>) {
        let (mut connection, entry) = (pin!(connection), Rc::<Entry>::default());
        poll_fn(|cx| self.poll(cx, queue.group(), &entry, connection.as_mut())).await;
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        group: Option<GroupId>,
        entry: &Rc<Entry>,
        connection: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<()> {
        let is_shared = self.note(group);
        match entry.state.get() {
            State::Waiting => return Poll::Pending,
            State::Outside if is_shared => {
                self.wait(cx, group, entry);
                return Poll::Pending;
            }
            State::Outside | State::Admitted => entry.state.set(State::Outside),
        }
        if !is_shared {
            self.0.left.set(None);
            return connection.poll(cx);
        }
        self.0.left.set(Some(MAX_BYTES));
        let began = Instant::now();
        let polled = connection.poll(cx);
        entry.cost.set(Some(began.elapsed()));
        polled
    }

    /// Records that a connection of this group is ready. Returns true if several groups share the thread.
    fn note(&self, group: Option<GroupId>) -> bool {
        let Shared { last, shared_at, .. } = &*self.0;
        if group.is_some() && last.get() != group {
            let is_first = last.replace(group).is_none();
            if !is_first {
                shared_at.set(Some(Instant::now()));
            }
        }
        let Some(at) = shared_at.get() else { return false };
        if at.elapsed() < SHARED_TIMEOUT {
            return true;
        }
        shared_at.set(None);
        false
    }

    fn wait(&self, cx: &Context<'_>, group: Option<GroupId>, entry: &Rc<Entry>) {
        entry.state.set(State::Waiting);
        let mut task = entry.task.borrow_mut();
        match &mut *task {
            Some(task) => task.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
        WAITING.increment(1);
        self.0.waiting.borrow_mut().push(group, entry.clone());
        if let Some(admitting) = self.0.admitting.take() {
            admitting.wake();
        }
    }

    /// Admits connections as long as the thread runs.
    pub(super) async fn admit(self) {
        loop {
            poll_fn(|cx| self.poll_waiting(cx)).await;
            let mut cost = Duration::ZERO;
            while cost < QUANTUM
                && let Some(entry) = { self.0.waiting.borrow_mut().pop() }
            {
                cost += entry.cost.get().unwrap_or(UNKNOWN_COST);
                WAITING.decrement(1);
                entry.state.set(State::Admitted);
                if let Some(task) = &*entry.task.borrow() {
                    task.wake_by_ref();
                }
            }
            // Those that were admitted run, and then new events are noticed.
            yield_now().await;
        }
    }

    fn poll_waiting(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.waiting.borrow().is_empty() {
            self.0.admitting.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Returns the number of bytes that the present turn may still send.
    pub(super) fn left(&self) -> usize {
        self.0.left.get().unwrap_or(usize::MAX)
    }

    /// Records that the present turn has sent bytes.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.left.set(self.0.left.get().map(|left| left.saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests;
