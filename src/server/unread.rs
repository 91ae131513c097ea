//! Memory for what clients have sent of requests whose responses have not begun, over all connections: heads and bodies are as long as
//! their clients make them. A little is free for each connection; what is longer is taken from a budget that all have in common, and given
//! back with the end of the connection, because its parser keeps its buffers until then.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all connections may take beside what is free. Cheap to clone.
#[derive(Clone)]
pub(super) struct UnreadBudget(Arc<Semaphore>);

/// What one connection takes of it, until it is dropped.
pub(super) struct Unread {
    budget: UnreadBudget,
    taken: Option<OwnedSemaphorePermit>,
}

/// Of each connection: with a token of this service a request has 1 or 2 KiB.
const FREE_BYTES: usize = 4 << 10;
/// Permits are of so many bytes.
const UNIT: usize = 1 << 10;

impl UnreadBudget {
    /// Of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT;
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// For one connection.
    pub(super) fn enter(&self) -> Unread {
        Unread { budget: self.clone(), taken: None }
    }
}

impl Unread {
    /// The connection has so many bytes that are unread. Whether there is room for them, in what it took before or in the budget.
    pub(super) fn is(&mut self, bytes: usize) -> bool {
        if bytes <= FREE_BYTES {
            return true;
        }
        let needed = (bytes - FREE_BYTES).div_ceil(UNIT);
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(needed.saturating_sub(taken)) else { return false };
        if more == 0 {
            return true;
        }
        let Ok(more) = self.budget.0.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_taken_from_what_all_have_until_the_connection_ends() {
        let budget = UnreadBudget::new(64 << 10);
        let (mut one, mut other) = (budget.enter(), budget.enter());
        assert!(one.is(FREE_BYTES) && one.is(FREE_BYTES + (40 << 10)) && one.is(FREE_BYTES + (60 << 10)));
        assert!(other.is(FREE_BYTES + (4 << 10)));
        assert!(!other.is(FREE_BYTES + (5 << 10)));
        assert!(one.is(0) && !other.is(FREE_BYTES + (5 << 10)) && one.is(FREE_BYTES + (60 << 10)));
        drop(one);
        assert!(other.is(FREE_BYTES + (64 << 10)));
    }
}
