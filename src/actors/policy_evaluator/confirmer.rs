//! The confirmation of changes by the other replicas, before they are acknowledged.

use std::time::Duration;

use futures::StreamExt;
use futures::future::Either;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::validity::machine_time;
use crate::domain::fleet::State;
use crate::domain::fleet::confirmation::{Confirmation, Verdict};
use crate::domain::fleet::validity::MachineTime;
use crate::domain::id::ReplicaId;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::{ChangeLog, Committed, FleetIdentities, Replica};
use crate::telemetry::LineLimit;
use crate::upstream::replicas::ReplicaClient;

/// Logs changes, and finds out whether the other replicas have them. Cheap to clone.
#[derive(Clone)]
pub struct Confirmer {
    identities: FleetIdentities,
    log: ChangeLog,
    replicas: ReplicaClient,
}

/// Time longer than any confirmation takes.
const LONGEST_CONFIRMATION: Duration = Duration::from_secs(60);
/// Number of attempts to log a change.
const LOG_ATTEMPTS: usize = 3;
/// Pause between them.
const LOG_PAUSE: Duration = Duration::from_millis(100);

impl Confirmer {
    /// Returns the confirmer for these engines.
    pub fn new(identities: FleetIdentities, log: ChangeLog, replicas: ReplicaClient) -> Self {
        Self { identities, log, replicas }
    }

    /// Waits until no replica decides without this change.
    ///
    /// # Errors
    ///
    /// Fails with [`FleetError::Unconfirmed`] if a replica may still do so. The change is stored all the same.
    pub(super) async fn confirm(&self, committed: Committed) -> Result<(), StoreError> {
        let mut confirmation = Confirmation::new(committed.bound, committed.others.iter().map(|replica| replica.id));
        let state = State { history: committed.history.clone(), version: committed.version };
        let mut confirmed: FuturesUnordered<_> =
            committed.others.iter().map(|other| self.wait_for(other, &state)).collect();
        // Goes on after all replicas have confirmed the change: one that loses the database later follows the log.
        let mut logged = Some(self.log_in_background(committed.clone()));
        loop {
            let until = match confirmation.verdict(machine_time()) {
                Verdict::Acknowledge => {
                    self.note_silent(&committed.others, &confirmation);
                    return Ok(());
                }
                Verdict::Unconfirmed => return Err(FleetError::Unconfirmed.into()),
                Verdict::Wait(until) => until,
            };
            tokio::select! {
                Some(replica) = confirmed.next() => replica.into_iter().for_each(|id| confirmation.confirmed(id)),
                outcome = outcome_of(&mut logged) => match outcome {
                    true => confirmation.logged(machine_time()),
                    false => confirmation.log_failed(machine_time()),
                },
                () = sleep_until(until) => {}
            }
        }
    }

    /// Waits until no replica decides without this state, which another replica has made.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::confirm`] does, and if the database cannot be reached.
    pub(super) async fn confirm_state(&self, state: &State) -> Result<(), StoreError> {
        self.confirm(self.identities.committed(state).await?).await
    }

    /// Logs which replicas have not confirmed a change in time, at a limited rate for each.
    fn note_silent(&self, others: &[Replica], confirmation: &Confirmation) {
        static LINES: LineLimit<String> = LineLimit::new();
        for silent in others.iter().filter(|other| confirmation.awaits(other.id)) {
            metrics::counter!("dependency_proxy_fleet_late_confirmations_total").increment(1);
            let Replica { id, address, .. } = silent.clone();
            if let Some(left_out) = LINES.admit(&address) {
                let replicas = self.replicas.clone();
                actix_rt::spawn(async move {
                    let problem = replicas.problem_of((id, &address)).await;
                    tracing::warn!(replica = %id, address, problem, left_out, "a replica did not confirm a change in time");
                });
            }
        }
    }

    async fn wait_for(&self, other: &Replica, state: &State) -> Option<ReplicaId> {
        // Longer than the confirmation takes, which ends it.
        let has_it = self.replicas.wait_for((other.id, &other.address), state, LONGEST_CONFIRMATION).await;
        has_it.then_some(other.id)
    }

    fn log_in_background(&self, committed: Committed) -> oneshot::Receiver<bool> {
        let (done, outcome) = oneshot::channel();
        let this = self.clone();
        actix_rt::spawn(async move {
            let logged = this.log(&committed).await;
            // The change may be confirmed by all replicas already.
            done.send(logged.is_ok()).ok();
            match logged {
                // The next writer would add it once more if this is lost.
                Ok(()) => drop(this.identities.note_logged(&committed.history, committed.version).await),
                Err(error) => {
                    tracing::warn!(%error, version = %committed.version, "a change is missing in the change log")
                }
            }
        });
        outcome
    }

    async fn log(&self, committed: &Committed) -> Result<(), StoreError> {
        for _ in 1..LOG_ATTEMPTS {
            if self.log.add(committed, &self.identities).await.is_ok() {
                return Ok(());
            }
            sleep(LOG_PAUSE).await;
        }
        self.log.add(committed, &self.identities).await
    }
}

/// Waits until it is known whether the change was logged, and returns true if it was. A second call never ends.
async fn outcome_of(logged: &mut Option<oneshot::Receiver<bool>>) -> bool {
    let outcome = match logged {
        Some(waiting) => Either::Left(waiting),
        None => Either::Right(std::future::pending()),
    };
    let outcome = outcome.await.unwrap_or(false);
    *logged = None;
    outcome
}

async fn sleep_until(until: Option<MachineTime>) {
    match until {
        Some(until) => sleep(until.0.saturating_sub(machine_time().0)).await,
        None => std::future::pending().await,
    }
}
