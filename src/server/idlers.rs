//! The connections of one thread whose clients want nothing at present, or have sent a part of a request for a while.
//! Where places run short, those that have been so for longest are ended first, whatever time they would have
//! otherwise.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// All connections of a thread. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Idlers(Rc<RefCell<Known>>);

#[derive(Default)]
struct Known {
    next: u64,
    connections: HashMap<u64, Rc<Idle>>,
}

/// One connection among them, until it is dropped.
pub(super) struct Member {
    idlers: Idlers,
    number: u64,
    idle: Rc<Idle>,
}

#[derive(Default)]
struct Idle {
    /// `None` while it wants something.
    since: Cell<Option<Instant>>,
    told_to_end: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// Who has just connected, or just got a response, is about to want something.
const MIN_IDLE: Duration = Duration::from_secs(1);
/// Time that a client has for a whole request where places run short.
const MAX_UNFINISHED: Duration = Duration::from_secs(2);
/// Of those that may be ended, one in so many is at a time.
const ONE_IN: usize = 8;

impl Idlers {
    /// A new connection.
    pub(super) fn enter(&self) -> Member {
        let mut known = self.0.borrow_mut();
        let (number, idle) = (known.next, Rc::<Idle>::default());
        known.next += 1;
        known.connections.insert(number, idle.clone());
        Member { idlers: self.clone(), number, idle }
    }

    /// Tells some of those to end that have wanted nothing for longest. Returns how many.
    pub(super) fn end_some(&self) -> usize {
        let known = self.0.borrow();
        let waiting = |idle: &Rc<Idle>| idle.since.get().filter(|since| since.elapsed() >= MIN_IDLE);
        let mut idle: Vec<_> =
            known.connections.values().filter_map(|idle| Some((waiting(idle)?, idle.clone()))).collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.truncate(idle.len().div_ceil(ONE_IN));
        for (_, idle) in &idle {
            idle.told_to_end.set(true);
            if let Some(waker) = idle.waker.take() {
                waker.wake();
            }
        }
        idle.len()
    }
}

impl Member {
    /// It wants nothing since then; this task is woken where it is told to end.
    pub(super) fn is_idle(&self, since: Instant, waker: &Waker) {
        if self.idle.since.get() != Some(since) {
            self.idle.since.set(Some(since));
            self.idle.waker.set(Some(waker.clone()));
        }
    }

    /// It has sent a part of a request since then; this task is woken where it is told to end.
    pub(super) fn is_unfinished(&self, since: Instant, waker: &Waker) {
        self.is_idle(since + (MAX_UNFINISHED - MIN_IDLE), waker);
    }

    /// It wants something.
    pub(super) fn is_busy(&self) {
        self.idle.since.set(None);
        self.idle.told_to_end.set(false);
    }

    /// Whether it was told to end, and has wanted nothing since.
    pub(super) fn is_told_to_end(&self) -> bool {
        self.idle.told_to_end.get()
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
    fn those_that_want_nothing_for_longest_are_ended_and_no_others() {
        let idlers = Idlers::default();
        let members: Vec<_> = (0..20).map(|_| idlers.enter()).collect();
        let now = Instant::now();
        for (age, member) in members.iter().enumerate().skip(1) {
            let age = u64::try_from(age).unwrap_or_default();
            member.is_idle(now.checked_sub(Duration::from_millis(190 * age)).unwrap_or(now), Waker::noop());
        }
        // Fourteen have waited for a second.
        assert_eq!(idlers.end_some(), 2);
        let told: Vec<_> = (0..20).filter(|at| members[*at].is_told_to_end()).collect();
        assert_eq!(told, [18, 19]);
        members[19].is_busy();
        assert!(!members[19].is_told_to_end());
        drop(members);
        assert_eq!(idlers.end_some(), 0);
    }

    #[test]
    fn a_request_that_is_not_finished_has_a_little_longer() {
        let (idlers, now) = (Idlers::default(), Instant::now());
        let member = idlers.enter();
        for (age, ended) in [(1500, 0), (2000, 1)] {
            let since = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
            member.is_unfinished(since, Waker::noop());
            assert_eq!(idlers.end_some(), ended, "{age} ms");
        }
    }
}
