//! Numbers and times of pulls that other replicas have counted.

use std::time::{Duration, Instant};

use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::fleet::{CountPlace, FleetContent};

/// The place up to which they were read, and the time of the next read.
pub(super) struct PullCounts {
    place: CountPlace,
    next: Instant,
}

/// Interval at which they are read.
const INTERVAL: Duration = Duration::from_secs(10);

impl PullCounts {
    /// Returns the beginning: everything is to be read now.
    pub(super) fn new() -> Self {
        Self { place: CountPlace::default(), next: Instant::now() }
    }

    /// Reads what has changed into the index of this replica, if it is time.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or the index cannot be written.
    pub(super) async fn follow(&mut self, shared: &FleetContent, content: &ContentStore) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + INTERVAL;
        let counted = shared.counted_after(&mut self.place).await?;
        if counted.has_more {
            // The rest comes after the next look at events: removals must not wait for it.
            self.next = now;
        }
        content.put_pulls_here(counted.images).await
    }
}
