//! Blocking work of the store, off the threads that serve clients.

use tokio::task::spawn_blocking;

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
