//! Blocking work of the store, off the threads that serve clients.

#[cfg(not(test))]
pub(crate) use tokio::task::spawn_blocking;

#[cfg(test)]
pub(crate) use self::scheduled::spawn_blocking;
use super::error::StoreError;

/// Runs blocking work on a thread for it. A panic of the work, or its loss at the end of the process, is an error like
/// any other of the store.
///
/// # Errors
///
/// Fails if the work fails, or is lost.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|lost| {
        tracing::error!(%lost, "a task of the store was lost");
        Err(StoreError::Io(lost.to_string()))
    })
}

/// Blocking work in tests that schedule it themselves.
#[cfg(test)]
pub(crate) mod scheduled {
    use std::cell::RefCell;

    use futures::future::LocalBoxFuture;
    use tokio::task::{JoinHandle, spawn_local};

    /// Function that returns the future for which the next work waits.
    pub(crate) type Turns = Box<dyn Fn() -> LocalBoxFuture<'static, ()>>;

    thread_local! {
        static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };
    }

    /// Runs the blocking work of this thread on the thread itself from now on, each after its turn. `None` restores
    /// the threads for blocking work.
    pub(crate) fn schedule(turns: Option<Turns>) {
        TURNS.set(turns);
    }

    pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match TURNS.with_borrow(|turns| turns.as_ref().map(|next| next())) {
            None => tokio::task::spawn_blocking(work),
            Some(turn) => spawn_local(async move {
                turn.await;
                work()
            }),
        }
    }
}
