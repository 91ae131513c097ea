//! The end of the store's use: changes of stored content that have begun are completed, and none begins afterwards, so
//! that the index agrees with the files when the process ends.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::StoreError;

/// The changes under way. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Closing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Notified when the last change under way ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of changes under way.
    running: usize,
    is_closed: bool,
}

/// A change under way. It ends when this is dropped.
#[derive(Debug)]
pub(in crate::store) struct Change<'a>(&'a Inner);

impl Closing {
    /// Begins a change.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Closed`] after [`Self::close`].
    pub(in crate::store) fn begin(&self) -> Result<Change<'_>, StoreError> {
        let mut state = self.0.state();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        state.running += 1;
        Ok(Change(&self.0))
    }

    /// Lets no further change begin, and waits for those under way, at most for this time. Returns false if some have
    /// not ended then. Blocks.
    pub(in crate::store) fn close(&self, max_wait: Duration) -> bool {
        let mut state = self.0.state();
        state.is_closed = true;
        let is_changing = |state: &mut State| state.running > 0;
        let waited = self.0.ended.wait_timeout_while(state, max_wait, is_changing);
        let (_state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Returns true after [`Self::close`] was called.
    pub(in crate::store) fn is_closed(&self) -> bool {
        self.0.state().is_closed
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        if state.running == 0 {
            self.0.ended.notify_all();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn changes_under_way_are_waited_for_and_none_begins_afterwards() {
        let closing = Closing::default();
        let change = closing.begin().unwrap();
        assert!(!closing.close(Duration::from_millis(10)), "a change is under way");
        assert!(matches!(closing.begin(), Err(StoreError::Closed)));
        thread::scope(|scope| {
            let closed = scope.spawn(|| closing.close(Duration::from_secs(60)));
            drop(change);
            assert!(closed.join().unwrap());
        });
        assert!(closing.is_closed());
    }
}
