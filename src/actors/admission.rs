//! Bounded admission: semaphores with a gauge of their permits in use and a counter of refusals. A semaphore elsewhere
//! refuses no client; its comment says why it has no gauge of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::domain::id::GroupId;

/// A bounded number of permits. Cheap to clone; clones share their permits.
#[derive(Clone)]
pub(crate) struct AdmissionLimit {
    free: Arc<Semaphore>,
    queue: &'static str,
}

/// A permit, which is released when it is dropped.
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Something that a gauge counts for as long as this value exists.
pub(super) struct Counted(Gauge);

impl Counted {
    /// Counts one more.
    pub(super) fn by(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl AdmissionLimit {
    /// Creates a limit of `permits` permits; `queue` is the metric label.
    pub(crate) fn new(queue: &'static str, permits: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))), queue }
    }

    /// Returns a permit without waiting. Returns `None`, and counts a refusal, if all permits are in use.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        self.permit(self.free.clone().try_acquire_owned().ok())
    }

    /// Waits for a permit until `late`. Returns `None`, and counts a refusal, if none becomes free by then.
    pub(super) async fn acquire(&self, late: Instant) -> Option<Permit> {
        let permit = timeout_at(late, self.free.clone().acquire_owned()).await;
        self.permit(permit.ok().and_then(Result::ok))
    }

    fn permit(&self, permit: Option<OwnedSemaphorePermit>) -> Option<Permit> {
        let Some(permit) = permit else {
            refused(self.queue);
            return None;
        };
        let length = metrics::gauge!("dependency_proxy_queue_length", "queue" => self.queue);
        Some(Permit { _permit: permit, _counted: Counted::by(length) })
    }

    /// Returns the number of permits that are not in use.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }
}

/// Counts a request that was refused because this queue is full.
pub(crate) fn refused(queue: &'static str) {
    metrics::counter!("dependency_proxy_over_capacity_total", "queue" => queue).increment(1);
}

/// Returns the part of a number of permits that one group gets at most: three quarters.
pub(super) fn usual_share(all: usize) -> usize {
    all.div_ceil(4).saturating_mul(3).min(all)
}

/// A limit of the same size for each holder, a group or a user, so that none uses all of a resource that they share.
#[derive(Clone)]
pub(super) struct Shares<H = GroupId> {
    each: usize,
    queue: &'static str,
    holders: Arc<Mutex<HashMap<H, Arc<Semaphore>>>>,
}

/// A permit of one holder's limit, which is released when it is dropped.
pub(super) struct Share<H = GroupId> {
    /// The holder.
    pub(super) holder: H,
    _permit: OwnedSemaphorePermit,
}

impl<H: Copy + Eq + Hash> Shares<H> {
    /// Creates limits of `each` permits for each, at least one.
    pub(super) fn new(queue: &'static str, each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), queue, holders: Arc::default() }
    }

    /// Creates limits of the usual share of `all`, the number of permits that all share.
    pub(super) fn of(queue: &'static str, all: usize) -> Self {
        Self::new(queue, usual_share(all))
    }

    /// Waits for a permit of the holder until `late`. Returns `None`, and counts a refusal, if none
    /// becomes free by then.
    pub(super) async fn acquire(&self, holder: H, late: Instant) -> Option<Share<H>> {
        let share = self.of_holder(holder);
        match timeout_at(late, share.acquire_owned()).await {
            Ok(Ok(permit)) => Some(Share { holder, _permit: permit }),
            Ok(Err(_)) | Err(_) => {
                refused(self.queue);
                None
            }
        }
    }

    /// Returns a permit of the holder without waiting. Returns `None`, and counts a refusal, if all are in use.
    pub(super) fn try_acquire(&self, holder: H) -> Option<Share<H>> {
        let permit = self.of_holder(holder).try_acquire_owned();
        permit.inspect_err(|_| refused(self.queue)).ok().map(|permit| Share { holder, _permit: permit })
    }

    fn of_holder(&self, holder: H) -> Arc<Semaphore> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.len() == holders.capacity() {
            // Those who have a permit, or wait for one, have a share of the semaphore as well.
            holders.retain(|_, share| Arc::strong_count(share) > 1);
        }
        holders.entry(holder).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
    }
}

/// A bounded number of permits, of which one holder, a group or a person, gets no more than its share.
#[derive(Clone)]
pub(crate) struct SharedLimit<H = GroupId> {
    all: AdmissionLimit,
    shares: Shares<H>,
}

/// A permit for a holder, which is released when it is dropped.
pub(crate) struct SharedPermit<H = GroupId> {
    _permit: Permit,
    _share: Share<H>,
}

impl<H: Copy + Eq + Hash> SharedLimit<H> {
    /// Creates a limit of `permits` permits, of which each holder gets at most `each`; `queue` is the metric label.
    pub(crate) fn new(queue: &'static str, permits: usize, each: usize) -> Self {
        Self { all: AdmissionLimit::new(queue, permits), shares: Shares::new(queue, each) }
    }

    /// Returns a permit without waiting. Returns `None`, and counts a refusal, if all, or all of the holder, are in
    /// use.
    pub(crate) fn try_acquire(&self, holder: H) -> Option<SharedPermit<H>> {
        let share = self.shares.try_acquire(holder)?;
        Some(SharedPermit { _permit: self.all.try_acquire()?, _share: share })
    }

    /// Returns the number of permits that are not in use.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.all.free()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_is_released_can_be_taken_again() {
        let limit = AdmissionLimit::new("test", 1);
        let taken = limit.try_acquire();
        assert!(taken.is_some() && limit.try_acquire().is_none());
        drop(taken);
        assert!(limit.try_acquire().is_some());
    }

    #[test]
    fn one_group_does_not_take_all_permits() {
        let limit = SharedLimit::new("test", 3, 2);
        let held: Vec<_> = [1, 1, 1, 2, 2].iter().map(|group| limit.try_acquire(GroupId(*group))).collect();
        assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true, false]);
        drop(held);
        assert!(limit.free() == 3 && limit.try_acquire(GroupId(1)).is_some());
    }

    #[tokio::test]
    async fn a_group_that_has_its_share_keeps_no_other_from_theirs() {
        let shares = Shares::new("test", 1);
        let soon = || Instant::now() + std::time::Duration::from_millis(10);
        let (one, other) = (GroupId(1), GroupId(2));
        let taken = shares.acquire(one, soon()).await;
        assert!(taken.is_some() && shares.acquire(one, soon()).await.is_none());
        assert!(shares.acquire(other, soon()).await.is_some());
        drop(taken);
        assert!(shares.acquire(one, soon()).await.is_some());
    }

    #[test]
    fn those_who_have_left_are_forgotten() {
        let limit = SharedLimit::new("test", 3, 2);
        for address in 0..10_000_u32 {
            assert!(limit.try_acquire(address).is_some());
        }
        let kept = limit.shares.holders.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert!(kept < 10, "{kept}");
    }
}
