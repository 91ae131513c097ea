//! The idle connections of one worker thread, and those with an unfinished request. When the maximum number of
//! connections is reached, the ones that have been idle for longest are closed first, before their own timeout.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// All connections of one thread. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(in crate::server) struct Idlers(Rc<RefCell<Connections>>);

#[derive(Default)]
struct Connections {
    next: u64,
    connections: HashMap<u64, Rc<Idle>>,
}

/// One registered connection, until it is dropped.
pub(super) struct Member {
    idlers: Idlers,
    number: u64,
    idle: Rc<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Beginning of the idle time; `None` while the connection is in use.
    since: Cell<Option<Instant>>,
    must_close: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// Minimum idle time before a connection is closed. A client that has just connected, or just got a response, is
/// about to send a request.
const MIN_IDLE_TIME: Duration = Duration::from_secs(1);
/// Maximum time for a whole request while the maximum number of connections is reached.
const UNFINISHED_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Reciprocal of the fraction of the idle connections that is closed at a time.
const CLOSED_ONE_IN: usize = 8;

impl Idlers {
    /// Registers a new connection.
    pub(super) fn enter(&self) -> Member {
        let mut known = self.0.borrow_mut();
        let (number, idle) = (known.next, Rc::<Idle>::default());
        known.next += 1;
        known.connections.insert(number, idle.clone());
        Member { idlers: self.clone(), number, idle }
    }

    /// Makes the connections that have been idle for longest close. Returns their number.
    pub(super) fn close_some(&self) -> usize {
        let known = self.0.borrow();
        let waiting = |idle: &Rc<Idle>| idle.since.get().filter(|since| since.elapsed() >= MIN_IDLE_TIME);
        let mut idle: Vec<_> =
            known.connections.values().filter_map(|idle| Some((waiting(idle)?, idle.clone()))).collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.truncate(idle.len().div_ceil(CLOSED_ONE_IN));
        for (_, idle) in &idle {
            idle.must_close.set(true);
            if let Some(waker) = idle.waker.take() {
                waker.wake();
            }
        }
        idle.len()
    }
}

impl Member {
    /// Records that the connection has been idle since then. This task is woken when the connection must close.
    pub(super) fn set_idle(&self, since: Instant, waker: &Waker) {
        if self.idle.since.get() != Some(since) {
            self.idle.since.set(Some(since));
            self.idle.waker.set(Some(waker.clone()));
        }
    }

    /// Records that the connection has had an unfinished request since then. This task is woken when the connection
    /// must close.
    pub(super) fn set_unfinished(&self, since: Instant, waker: &Waker) {
        self.set_idle(since + (UNFINISHED_REQUEST_TIMEOUT - MIN_IDLE_TIME), waker);
    }

    /// Records that the connection is in use.
    pub(super) fn set_busy(&self) {
        self.idle.since.set(None);
        self.idle.must_close.set(false);
    }

    /// Returns true if the connection was selected to close and has not been in use since.
    pub(super) fn must_close(&self) -> bool {
        self.idle.must_close.get()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.idlers.0.borrow_mut().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_idle_for_longest_are_closed_and_no_others() {
        let idlers = Idlers::default();
        let members: Vec<_> = (0..20).map(|_| idlers.enter()).collect();
        let now = Instant::now();
        for (age, member) in members.iter().enumerate().skip(1) {
            let age = u64::try_from(age).unwrap_or_default();
            member.set_idle(now.checked_sub(Duration::from_millis(190 * age)).unwrap_or(now), Waker::noop());
        }
        // Fourteen have been idle for a second.
        assert_eq!(idlers.close_some(), 2);
        let closed: Vec<_> = (0..20).filter(|at| members[*at].must_close()).collect();
        assert_eq!(closed, [18, 19]);
        members[19].set_busy();
        assert!(!members[19].must_close());
        drop(members);
        assert_eq!(idlers.close_some(), 0);
    }

    #[test]
    fn a_request_that_is_not_finished_has_a_little_longer() {
        let (idlers, now) = (Idlers::default(), Instant::now());
        let member = idlers.enter();
        for (age, ended) in [(1500, 0), (2000, 1)] {
            let since = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
            member.set_unfinished(since, Waker::noop());
            assert_eq!(idlers.close_some(), ended, "{age} ms");
        }
    }
}
