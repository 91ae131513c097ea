//! Permits for the requests to one upstream. Groups take turns where they wait for a permit, and a quarter of the
//! requests that may wait is left to other groups: a herd of one group delays a request of another by one permit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::actors::admission::{Counted, usual_share};
use crate::domain::deadlines;
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::GroupId;

/// Kind of permits. Each has a pool of its own, so that one kind of request does not wait behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// For short requests: `HEAD`, manifests, lists.
    Short,
    /// For downloads, each until its last byte.
    Content,
    /// For ranges of blobs that are not stored. Each lasts as long as its client reads, so slow clients must not block
    /// downloads.
    Range,
}

/// The permits of one upstream, in pools. Cheap to clone; clones share the permits.
#[derive(Clone)]
pub(super) struct Permits(Arc<Mutex<State>>);

/// A permit for one request, counted in a gauge. Released when it is dropped.
pub struct UpstreamPermit {
    pub(super) _permit: PoolPermit,
    pub(super) _counted: Counted,
}

struct State {
    /// Number of permits of each pool.
    each: usize,
    /// Number of those that are in use: more, for a time, than there are after their number was reduced. If fewer,
    /// nobody waits for them.
    in_use: [usize; Pool::ALL.len()],
    waiting: [FairQueue<Option<GroupId>, oneshot::Sender<()>>; Pool::ALL.len()],
    /// Maximum number of requests that wait, over all pools.
    max_waiting: usize,
}

/// A permit, which is released when it is dropped.
pub(super) struct PoolPermit {
    permits: Permits,
    pool: Pool,
}

/// A request that waits, until this is dropped.
pub(super) struct Waiting {
    permits: Permits,
    pool: Pool,
    /// `None` once the permit was received.
    granted: Option<oneshot::Receiver<()>>,
}

impl Pool {
    /// All pools.
    pub(super) const ALL: [Self; 3] = [Self::Short, Self::Content, Self::Range];

    /// Returns the value of the label `kind`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Content => "content",
            Self::Range => "range",
        }
    }

    /// Returns the time for which a request waits for a permit.
    pub(super) fn wait_timeout(self) -> Duration {
        match self {
            Self::Short | Self::Range => deadlines::SHORT_PERMIT,
            Self::Content => deadlines::CONTENT_PERMIT,
        }
    }
}

impl Permits {
    /// Creates this number of permits in each pool.
    pub(super) fn new(each: usize, max_waiting: usize) -> Self {
        let (in_use, waiting) = (Pool::ALL.map(|_| 0), Pool::ALL.map(|_| FairQueue::default()));
        Self(Arc::new(Mutex::new(State { each, in_use, waiting, max_waiting })))
    }

    /// Changes the number of permits in each pool. Those in use are not taken away.
    pub(super) fn resize(&self, each: usize) {
        let mut state = self.state();
        state.each = each;
        Pool::ALL.iter().for_each(|pool| state.grant(*pool));
    }

    /// Returns a permit, if one is free.
    pub(super) fn try_take(&self, pool: Pool) -> Option<PoolPermit> {
        let mut state = self.state();
        state.is_free(pool).then(|| {
            state.in_use[pool as usize] += 1;
            PoolPermit { permits: self.clone(), pool }
        })
    }

    /// Lets a request of the group wait. Returns `None` if the maximum number waits already, of all groups or of this
    /// one.
    pub(super) fn wait(&self, pool: Pool, group: Option<GroupId>) -> Option<Waiting> {
        let mut state = self.state();
        if !state.has_room(group) {
            state.waiting.iter_mut().for_each(|waiting| waiting.retain(|waiter| !waiter.is_closed()));
            if !state.has_room(group) {
                return None;
            }
        }
        let (sender, granted) = oneshot::channel();
        state.waiting[pool as usize].push(group, sender);
        // One may have been released since the caller tried to take it.
        state.grant(pool);
        Some(Waiting { permits: self.clone(), pool, granted: Some(granted) })
    }

    /// Returns the number of permits of each pool that are in use, and of all that there are; the number of requests
    /// that wait; and the number of groups that take turns among those.
    pub(super) fn counts(&self) -> ([usize; Pool::ALL.len()], usize, usize, usize) {
        let state = self.state();
        let waiting = state.waiting.iter().map(FairQueue::len).sum();
        (state.in_use, state.each, waiting, state.waiting.iter().map(FairQueue::groups).sum())
    }

    /// Hands a permit on to the request whose turn it is.
    fn release(&self, pool: Pool) {
        let mut state = self.state();
        state.in_use[pool as usize] -= 1;
        state.grant(pool);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_free(&self, pool: Pool) -> bool {
        self.in_use[pool as usize] < self.each
    }

    /// Gives the permits that are free to the requests whose turn it is.
    fn grant(&mut self, pool: Pool) {
        while self.is_free(pool)
            && let Some(waiter) = self.waiting[pool as usize].pop()
        {
            // Fails where the request does not wait any more.
            self.in_use[pool as usize] += usize::from(waiter.send(()).is_ok());
        }
    }

    fn has_room(&self, group: Option<GroupId>) -> bool {
        let all: usize = self.waiting.iter().map(FairQueue::len).sum();
        let of_group: usize = self.waiting.iter().map(|waiting| waiting.len_of(group)).sum();
        all < self.max_waiting && (group.is_none() || of_group < usual_share(self.max_waiting))
    }
}

impl Waiting {
    /// Waits for the permit.
    pub(super) async fn granted(mut self) -> Option<PoolPermit> {
        if let Some(granted) = &mut self.granted {
            granted.await.ok()?;
        }
        self.granted = None;
        Some(PoolPermit { permits: self.permits.clone(), pool: self.pool })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut granted) = self.granted.take() else { return };
        granted.close();
        if granted.try_recv().is_ok() {
            self.permits.release(self.pool);
        }
    }
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.permits.release(self.pool);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn wait(permits: &Permits, group: u64) -> Option<Waiting> {
        permits.wait(Pool::Short, Some(GroupId(group)))
    }

    fn is_granted(waiting: &mut Waiting) -> bool {
        waiting.granted.as_mut().unwrap().now_or_never().is_some()
    }

    #[test]
    fn groups_take_turns() {
        let permits = Permits::new(1, 100);
        let mut present = permits.try_take(Pool::Short);
        assert!(present.is_some() && permits.try_take(Pool::Short).is_none());
        let mut waiting: Vec<_> = [1, 1, 1, 2, 3].iter().map(|group| wait(&permits, *group)).collect();
        let mut order = Vec::new();
        while order.len() < 5 {
            drop(present);
            let next = waiting.iter_mut().position(|one| one.as_mut().is_some_and(is_granted)).unwrap();
            order.push(next);
            waiting[next].take().unwrap().granted = None;
            present = Some(PoolPermit { permits: permits.clone(), pool: Pool::Short });
        }
        assert_eq!(order, [0, 3, 4, 1, 2]);
        drop(present);
        assert!(permits.try_take(Pool::Short).is_some());
    }

    #[test]
    fn who_leaves_takes_no_turn_and_loses_no_permit() {
        let permits = Permits::new(1, 100);
        let present = permits.try_take(Pool::Short);
        let (left, stayed, last) = (wait(&permits, 1), wait(&permits, 2), wait(&permits, 2));
        drop(left);
        drop(present);
        // This one leaves before it has received the permit that it was granted.
        drop(stayed);
        assert!(is_granted(&mut last.unwrap()));
    }

    #[test]
    fn fewer_permits_are_not_taken_away_from_those_who_have_them_and_more_go_to_those_who_wait() {
        let permits = Permits::new(3, 100);
        let mut taken: Vec<_> = (0..3).map(|_| permits.try_take(Pool::Short).unwrap()).collect();
        permits.resize(1);
        let (mut first, mut second) = (wait(&permits, 1).unwrap(), wait(&permits, 2).unwrap());
        for still_taken in [2, 1] {
            taken.pop();
            assert_eq!(permits.counts().0[Pool::Short as usize], still_taken);
            assert!(!is_granted(&mut first), "there were more than there are now");
        }
        taken.pop();
        assert!(is_granted(&mut first) && !is_granted(&mut second));
        permits.resize(2);
        assert!(is_granted(&mut second) && permits.try_take(Pool::Short).is_none());
    }

    #[test]
    fn one_group_leaves_room_for_others() {
        let permits = Permits::new(1, 8);
        let _present = permits.try_take(Pool::Short);
        let mut waiting: Vec<_> = (0..6).map(|_| wait(&permits, 1).unwrap()).collect();
        assert!(wait(&permits, 1).is_none());
        waiting.extend([wait(&permits, 2).unwrap(), permits.wait(Pool::Short, None).unwrap()]);
        assert!(wait(&permits, 3).is_none());
        waiting.truncate(5);
        assert!(wait(&permits, 1).is_some() && wait(&permits, 3).is_some());
    }
}
