//! Admission of requests that read much of the index, such as a list by size: each occupies a blocking thread, which
//! pulls need, too.

use std::time::Duration;

use tokio::time::Instant;

use super::{ImagesError, StoreError};
use crate::actors::admission::{AdmissionLimit, Shares};
use crate::domain::id::GroupId;

/// The admission limit. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct Readers {
    all: AdmissionLimit,
    of_groups: Shares,
    max_wait: Duration,
}

/// Label of its metrics.
const QUEUE: &str = "image_lists";

impl Readers {
    /// Creates a limit of `max` permits, three quarters of them for one group, for each of which a request waits for at
    /// most `max_wait`.
    pub(super) fn new(max: usize, max_wait: Duration) -> Self {
        Self { all: AdmissionLimit::new(QUEUE, max), of_groups: Shares::of(QUEUE, max), max_wait }
    }

    /// Does work that reads the index for a list of this group, or of all, once there is a permit. The permit is held
    /// until the work ends, also if the caller leaves before: its thread goes on.
    ///
    /// # Errors
    ///
    /// Fails if there is no permit in time, or if the work fails.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        group: Option<GroupId>,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, ImagesError> {
        let late = Instant::now() + self.max_wait;
        let share = match group {
            Some(group) => Some(self.of_groups.acquire(group, late).await.ok_or(ImagesError::Busy)?),
            None => None,
        };
        let permit = self.all.acquire(late).await.ok_or(ImagesError::Busy)?;
        let working = actix_rt::spawn(async move {
            let _held = (share, permit);
            work.await
        });
        Ok(working.await.unwrap_or_else(|lost| Err(StoreError::Io(lost.to_string())))?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    #[actix_rt::test]
    async fn a_group_that_lists_very_often_is_refused_and_leaves_permits_to_others() {
        let (readers, soon) = (Readers::new(4, Duration::from_millis(20)), Duration::from_millis(1));
        let list = |group| readers.run(Some(GroupId(group)), pending::<Result<(), StoreError>>());
        for _ in 0..3 {
            // The client leaves at once, but its thread goes on.
            assert!(tokio::time::timeout(soon, list(1)).await.is_err());
        }
        assert!(matches!(list(1).await, Err(ImagesError::Busy)));
        readers.run(Some(GroupId(2)), ready(Ok(()))).await.unwrap();
        assert!(tokio::time::timeout(soon, list(2)).await.is_err());
        assert!(matches!(readers.run(None, ready(Ok(()))).await, Err(ImagesError::Busy)));
    }

    #[actix_rt::test]
    async fn a_permit_is_free_again_when_its_work_has_ended() {
        let readers = Readers::new(1, Duration::from_secs(60));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let work = async move { ended.await.map_err(|error| StoreError::Io(error.to_string())) };
        let mut first = Box::pin(readers.run(None, work));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(readers.run(None, ready(Ok(()))));
        assert!((&mut second).now_or_never().is_none());
        end.send(()).unwrap();
        first.await.unwrap();
        second.await.unwrap();
    }
}
