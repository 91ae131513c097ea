//! Work of the follower that must not delay its looks.

use std::time::Duration;

use super::{Follower, Looking, machine_time, report};

/// Interval at which a replica records that it is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which the log is read also while the database responds, to report whether it can be read.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// Interval at which a replica removes changes that are too old.
const TIDY_INTERVAL: Duration = Duration::from_secs(3600);
/// Time longer than any bound (`fleet.bound`).
const LONGEST_BOUND: Duration = Duration::from_secs(20);

impl Looking {
    /// Verifies the log in the background, which takes longer than a look.
    pub(super) fn verify_log(&self) {
        if self.verifying.replace(true) {
            return;
        }
        let (log, identities) = (self.parts.log.clone(), self.parts.identities.clone());
        let (verified, verifying) = (self.verified.clone(), self.verifying.clone());
        actix_rt::spawn(async move {
            let state = log.verify(&identities).await;
            report("object store", &state.as_ref().map(drop).map_err(Clone::clone));
            *verified.borrow_mut() = state.ok().map(|(state, _)| state.history);
            verifying.set(false);
        });
    }

    /// Reports, in the background, whether the log can be read, where nothing else has read it for a time.
    pub(super) fn test_log(&self) {
        if machine_time() < self.last_log.get() + LOG_INTERVAL {
            return;
        }
        self.last_log.set(machine_time());
        let (log, known) = (self.parts.log.clone(), self.parts.policy.state());
        actix_rt::spawn(async move {
            let found = log.get(&known.history, known.version.next(), LONGEST_BOUND).await;
            report("object store", &found.map(drop));
        });
    }

    /// Records that this replica is alive, and looks for lost ones, in the background: it must not delay looks.
    pub(super) fn note_alive(&self) {
        let now = machine_time();
        if now < self.last_alive.get() + ALIVE_INTERVAL {
            return;
        }
        self.last_alive.set(now);
        let (registration, absences) = (self.parts.registration.clone(), self.absences.clone());
        let last_recorded = self.last_recorded.clone();
        actix_rt::spawn(async move {
            // A failure is reported by the looks.
            let Ok(signs) = registration.note_alive().await else { return };
            if signs.iter().any(|sign| sign.id == registration.id()) {
                last_recorded.set(now);
            }
            let steps = absences.borrow_mut().note(signs, machine_time(), LONGEST_BOUND);
            for sign in &steps.suspect {
                tracing::warn!(replica = %sign.id, "a replica is lost: changes do not wait for it any more");
                registration.suspect(sign).await.ok();
            }
            for id in steps.remove {
                registration.remove(id).await.ok();
            }
        });
    }

    /// Removes changes and claims that no replica needs any more, in the background.
    pub(super) fn forget_old_changes(&self) {
        if machine_time() < self.last_tidying.get() + TIDY_INTERVAL {
            return;
        }
        self.last_tidying.set(machine_time());
        let Follower { identities, log, claims, policy, .. } = &self.parts;
        let (identities, log, claims) = (identities.clone(), log.clone(), claims.clone());
        let history = policy.state().history;
        actix_rt::spawn(async move {
            let removed = async {
                let versions = identities.forget_old_changes().await?;
                log.remove(&history, &versions).await?;
                claims.forget_old().await
            };
            if let Err(error) = removed.await {
                tracing::warn!(%error, "old changes and downloads could not all be removed from the engines");
            }
        });
    }
}
