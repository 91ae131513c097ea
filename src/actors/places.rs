//! Bounded admission: so many may wait or be under way at once. Who has a place is counted, and so is who gets none.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
pub(super) fn refused(queue: &'static str) {
    metrics::counter!("dependency_proxy_refused_total", "queue" => queue).increment(1);
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
}
