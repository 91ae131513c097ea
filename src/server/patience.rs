//! How long a connection waits for its client: cheap to begin and to end, because it ends well nearly always.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// One thing that a client may take only so long for.
pub(super) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    /// Not set back when a wait ends: it looks, when it fires, how long the present wait has taken.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// At most so long at a time.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    /// The client is waited for from now on, unless it already is.
    pub(super) fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// The client did what it was waited for.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// Whether the client is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Since when it is.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// An error once the client was waited for too long; else the task is woken when that is so. Always called by one task.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(since) = self.since else { return Ok(()) };
        if self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed()) {
            // It wakes this task, not too late.
            return Ok(());
        }
        let late = since + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(late)));
        // Also where the task has done so much in this turn that nothing else of it may be polled.
        while Pin::new(&mut unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= late {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(late);
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
    async fn a_client_is_given_up_also_where_the_wait_began_at_the_end_of_a_busy_turn() {
        let waited = actix_rt::spawn(async {
            let mut patience = Patience::new(Duration::from_millis(50));
            patience.begin();
            let mut busy = true;
            poll_fn(|cx| {
                while busy && has_budget_remaining() {
                    poll_proceed(cx).map(|turn| turn.made_progress()).is_ready();
                }
                busy = false;
                patience.check(cx).map_or_else(|error| Poll::Ready(error.kind()), |()| Poll::Pending)
            })
            .await
        });
        let waited = tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap().unwrap();
        assert_eq!(waited, io::ErrorKind::TimedOut);
    }
}
