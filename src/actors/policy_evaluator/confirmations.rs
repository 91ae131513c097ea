//! The confirmed changes: a change is confirmed once no replica decides without it any more. A replica publishes its
//! own changes and those of others before they are confirmed, and a response that shows them waits for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::validity::machine_time;
use crate::domain::fleet::State;
use crate::domain::fleet::validity::MachineTime;

/// The confirmed changes, as one replica knows them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Confirmations(Arc<watch::Sender<Progress>>);

/// Error: what a response would show is not confirmed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change that this depends on is not confirmed by all replicas yet; try again shortly")]
pub struct NotConfirmed;

/// The states of the directory, and of its confirmation.
#[derive(Debug)]
struct Progress {
    /// The directory that is published, or about to be.
    shown: State,
    /// The last confirmed one; `None`: not known yet.
    confirmed: Option<State>,
    /// The latest one that will be confirmed by time alone.
    due: Option<State>,
    /// Those that the other replicas have not confirmed yet.
    pending: Vec<State>,
    /// Number of attempts that have failed.
    failures: u64,
}

/// A confirmation that is in progress. Dropped without a result, it has failed.
pub(super) struct Confirming {
    of: Confirmations,
    state: State,
    confirmed: bool,
}

/// Time after which an attempt that fails is not repeated.
const RETRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before it is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

impl Progress {
    fn is_confirmed(&self, state: &State) -> bool {
        self.confirmed.as_ref().is_some_and(|confirmed| confirmed.covers(state))
    }

    fn is_due(&self, state: &State) -> bool {
        self.due.as_ref().is_some_and(|due| due.covers(state))
    }
}

impl Confirmations {
    /// Begins with a directory of which it is not known whether it is confirmed.
    pub(super) fn new(shown: State) -> Self {
        let progress = Progress { shown, confirmed: None, due: None, pending: Vec::new(), failures: 0 };
        Self(Arc::new(watch::Sender::new(progress)))
    }

    /// Notes a directory that is about to be published. Must be called before, so that nothing that it shows is taken
    /// for confirmed.
    pub(super) fn about_to_show(&self, state: State) {
        self.0.send_modify(|progress| progress.shown = state);
    }

    /// Begins to confirm a state.
    pub(super) fn begin(&self, state: State) -> Confirming {
        self.0.send_modify(|progress| progress.pending.push(state.clone()));
        Confirming { of: self.clone(), state, confirmed: false }
    }

    /// Begins to confirm what is shown; `None`: it is confirmed, or being confirmed.
    pub(super) fn begin_shown(&self) -> Option<Confirming> {
        let shown = {
            let progress = self.0.borrow();
            let is_pending = progress.pending.iter().any(|pending| pending.covers(&progress.shown));
            (!is_pending && !progress.is_confirmed(&progress.shown)).then(|| progress.shown.clone())
        };
        shown.map(|shown| self.begin(shown))
    }

    /// Notes that no replica decides without this state from a later time on. Must be called in an event loop.
    pub(super) fn confirm_at(&self, state: State, time: MachineTime) {
        let is_new = self.0.send_if_modified(|progress| {
            let is_known = progress.is_confirmed(&state) || progress.is_due(&state);
            if !is_known {
                progress.due = Some(state.clone());
            }
            !is_known
        });
        if is_new {
            let this = self.clone();
            actix_rt::spawn(async move {
                sleep(time.0.saturating_sub(machine_time().0)).await;
                this.note(state);
            });
        }
    }

    /// Returns true if it is known of this state that it is, or will be, confirmed.
    pub(super) fn is_certain(&self, state: &State) -> bool {
        let progress = self.0.borrow();
        progress.is_confirmed(state) || progress.is_due(state)
    }

    /// Waits until what is shown at present is confirmed. `request` is called where it is not: it begins an attempt.
    ///
    /// # Errors
    ///
    /// Fails if that takes longer than this, or if attempts still fail after some seconds.
    pub(super) async fn wait(&self, limit: Duration, request: impl Fn()) -> Result<(), NotConfirmed> {
        let wanted = {
            let progress = self.0.borrow();
            if progress.is_confirmed(&progress.shown) {
                return Ok(());
            }
            progress.shown.clone()
        };
        let mut changes = self.0.subscribe();
        let began = Instant::now();
        let attempts = async {
            loop {
                let failures = changes.borrow_and_update().failures;
                request();
                let over = changes.wait_for(|progress| {
                    progress.is_confirmed(&wanted) || (progress.failures != failures && !progress.is_due(&wanted))
                });
                if over.await.is_ok_and(|progress| progress.is_confirmed(&wanted)) {
                    return Ok(());
                }
                if began.elapsed() >= RETRY_TIMEOUT {
                    return Err(NotConfirmed);
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        timeout(limit, attempts).await.unwrap_or(Err(NotConfirmed))
    }

    fn note(&self, state: State) {
        self.0.send_modify(|progress| {
            // A state of another history is ignored.
            if !progress.is_confirmed(&state) && state.history == progress.shown.history {
                progress.confirmed = Some(state);
            }
        });
    }
}

impl Confirming {
    /// Returns the state.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Ends the attempt.
    pub(super) fn end(mut self, confirmed: bool) {
        self.confirmed = confirmed;
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        if self.confirmed {
            self.of.note(self.state.clone());
        }
        self.of.0.send_modify(|progress| {
            if let Some(at) = progress.pending.iter().position(|pending| *pending == self.state) {
                progress.pending.swap_remove(at);
            }
            progress.failures += u64::from(!self.confirmed);
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::domain::directory::Version;

    const LIMIT: Duration = Duration::from_millis(50);

    fn state(history: &str, version: u64) -> State {
        State { history: history.to_owned(), version: Version(version) }
    }

    #[actix_rt::test]
    async fn what_is_shown_waits_for_its_confirmation_and_asks_for_it_once() {
        let confirmations = Confirmations::new(state("a", 1));
        let confirming = confirmations.begin_shown().unwrap();
        assert!(confirmations.begin_shown().is_none(), "it is being confirmed");
        assert_eq!(confirmations.wait(LIMIT, || ()).await, Err(NotConfirmed));
        confirming.end(true);
        confirmations.wait(LIMIT, || unreachable!()).await.unwrap();
        confirmations.about_to_show(state("a", 2));
        assert_eq!(confirmations.wait(LIMIT, || ()).await, Err(NotConfirmed));
        // A later one covers it.
        confirmations.begin(state("a", 3)).end(true);
        confirmations.wait(LIMIT, || unreachable!()).await.unwrap();
        confirmations.about_to_show(state("b", 1));
        assert!(confirmations.begin_shown().is_some(), "another history");
    }

    #[actix_rt::test]
    async fn an_attempt_that_fails_is_repeated_for_a_time_unless_time_alone_confirms_it() {
        let confirmations = Confirmations::new(state("a", 1));
        let attempts = Cell::new(0);
        let fail = || {
            attempts.set(attempts.get() + 1);
            confirmations.begin_shown().unwrap().end(false);
        };
        let began = Instant::now();
        assert_eq!(confirmations.wait(RETRY_TIMEOUT * 10, fail).await, Err(NotConfirmed));
        assert!(attempts.replace(0) > 5 && began.elapsed() < RETRY_TIMEOUT * 5);
        confirmations.confirm_at(state("a", 1), machine_time() + LIMIT);
        assert!(confirmations.is_certain(&state("a", 1)));
        confirmations.wait(RETRY_TIMEOUT, fail).await.unwrap();
        assert_eq!(attempts.get(), 1);
    }
}
