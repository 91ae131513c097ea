//! Timeout for a client that is cheap to start and to cancel: the timer is re-armed only when it fires. Nearly all
//! waits end in time.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Maximum time for one thing that a client has to do.
pub(super) struct Deadline {
    limit: Duration,
    since: Option<Instant>,
    /// Not reset when a wait ends. When it fires, the duration of the present wait decides whether it is set again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Creates a timeout of this duration. No wait has begun.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    /// Begins a wait, unless one has begun.
    pub(super) fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Ends the wait: the client did what was waited for.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// Returns true if a wait has begun.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Returns the beginning of the wait, if one has begun.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Checks the wait, and wakes the task when its time is over. Must always be called by the same task.
    ///
    /// # Errors
    /// `TimedOut` once the wait has taken too long.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(since) = self.since else { return Ok(()) };
        if self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed()) {
            // It wakes this task no later than the wait ends, because waits only begin after it was set.
            return Ok(());
        }
        let due = since + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Unconstrained: tokio's budget for cooperative tasks may be used up, and would then keep even an elapsed
        // timer pending.
        while Pin::new(&mut unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= due {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(due);
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::task::coop::{has_budget_remaining, poll_proceed};

    use super::*;

    #[actix_rt::test]
    async fn a_client_times_out_also_where_the_wait_began_at_the_end_of_a_busy_turn() {
        let waited = actix_rt::spawn(async {
            let mut deadline = Deadline::new(Duration::from_millis(50));
            deadline.begin();
            let mut busy = true;
            poll_fn(|cx| {
                while busy && has_budget_remaining() {
                    poll_proceed(cx).map(|turn| turn.made_progress()).is_ready();
                }
                busy = false;
                deadline.check(cx).map_or_else(|error| Poll::Ready(error.kind()), |()| Poll::Pending)
            })
            .await
        });
        let waited = tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap().unwrap();
        assert_eq!(waited, io::ErrorKind::TimedOut);
    }
}
