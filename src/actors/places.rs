//! Bounded admission: so many may wait or be under way at once. Who has a place is counted, and so is who gets none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::domain::id::GroupId;

/// A bounded number of places.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    queue: &'static str,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    length: Gauge,
}

impl Places {
    /// So many places in the queue of this name.
    pub(super) fn new(queue: &'static str, places: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))), queue }
    }

    /// A place; `None`, and the refusal counted, where all are taken.
    pub(super) fn take(&self) -> Option<Place> {
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            refused(self.queue);
            return None;
        };
        let length = metrics::gauge!("dependency_proxy_queue_length", "queue" => self.queue);
        length.increment(1);
        Some(Place { _permit: permit, length })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.length.decrement(1);
    }
}

/// Counts somebody who was refused because this queue is full.
pub(crate) fn refused(queue: &'static str) {
    metrics::counter!("dependency_proxy_over_capacity_total", "queue" => queue).increment(1);
}

/// Limits for each of many groups, so that none of them takes all of what they have in common.
#[derive(Clone)]
pub(super) struct Shares {
    each: usize,
    queue: &'static str,
    groups: Arc<Mutex<HashMap<GroupId, Arc<Semaphore>>>>,
}

/// A part of a group's share, until it is dropped.
pub(super) struct Share {
    _permit: OwnedSemaphorePermit,
}

impl Shares {
    /// At most `each` for a group, and at least one.
    pub(super) fn new(queue: &'static str, each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), queue, groups: Arc::default() }
    }

    /// Three quarters of what all groups have together.
    pub(super) fn of(queue: &'static str, all: usize) -> Self {
        Self::new(queue, all.div_ceil(4).saturating_mul(3).min(all))
    }

    /// A part of the group's share, as soon as there is one; `None`, and the refusal counted, where that takes too long.
    pub(super) async fn take(&self, group: GroupId, late: Instant) -> Option<Share> {
        let share = self.of_group(group);
        match timeout_at(late, share.acquire_owned()).await {
            Ok(Ok(permit)) => Some(Share { _permit: permit }),
            Ok(Err(_)) | Err(_) => {
                refused(self.queue);
                None
            }
        }
    }

    /// The same, if there is one now.
    pub(super) fn try_take(&self, group: GroupId) -> Option<Share> {
        let permit = self.of_group(group).try_acquire_owned();
        permit.inspect_err(|_| refused(self.queue)).ok().map(|permit| Share { _permit: permit })
    }

    fn of_group(&self, group: GroupId) -> Arc<Semaphore> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let places = Places::new("test", 1);
        let taken = places.take();
        assert!(taken.is_some() && places.take().is_none());
        drop(taken);
        assert!(places.take().is_some());
    }

    #[tokio::test]
    async fn a_group_that_has_its_share_keeps_no_other_from_theirs() {
        let shares = Shares::new("test", 1);
        let soon = || Instant::now() + std::time::Duration::from_millis(10);
        let (one, other) = (GroupId(1), GroupId(2));
        let taken = shares.take(one, soon()).await;
        assert!(taken.is_some() && shares.take(one, soon()).await.is_none());
        assert!(shares.take(other, soon()).await.is_some());
        drop(taken);
        assert!(shares.take(one, soon()).await.is_some());
    }
}
