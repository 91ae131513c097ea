//! The confirmation of a change by all replicas.

use std::collections::BTreeSet;

use super::validity::{Bound, MachineTime};
use crate::domain::id::ReplicaId;

/// A committed change that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    bound: Bound,
    /// The replicas that may not have the change yet.
    awaited: BTreeSet<ReplicaId>,
    log: Log,
}

/// State of the change in the change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Log {
    Pending,
    Written(MachineTime),
    Failed(MachineTime),
}

/// The next step of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledge it.
    Acknowledge,
    /// Wait for a replica or for the log, at most until this time if there is one.
    Wait(Option<MachineTime>),
    /// Report that it is stored, and that a replica may still decide without it.
    Unconfirmed,
}

impl Confirmation {
    /// Begins for a change that these other replicas may not have. They are all that were registered when the change
    /// was committed.
    pub fn new(bound: Bound, others: impl IntoIterator<Item = ReplicaId>) -> Self {
        Self { bound, awaited: others.into_iter().collect(), log: Log::Pending }
    }

    /// Notes that a replica has the change.
    pub fn confirmed(&mut self, replica: ReplicaId) {
        self.awaited.remove(&replica);
    }

    /// Returns true if a replica may not have the change yet.
    pub fn awaits(&self, replica: ReplicaId) -> bool {
        self.awaited.contains(&replica)
    }

    /// Notes that the log has the change, and all before it.
    pub fn logged(&mut self, now: MachineTime) {
        self.log = Log::Written(now);
    }

    /// Notes that the change may be missing in the log.
    pub fn log_failed(&mut self, now: MachineTime) {
        self.log = Log::Failed(now);
    }

    /// Returns what to do now.
    pub fn verdict(&self, now: MachineTime) -> Verdict {
        let over = |since, verdict| {
            let over = self.bound.over_everywhere(since);
            if now < over { Verdict::Wait(Some(over)) } else { verdict }
        };
        match self.log {
            Log::Pending => Verdict::Wait(None),
            _ if self.awaited.is_empty() => Verdict::Acknowledge,
            Log::Written(since) => over(since, Verdict::Acknowledge),
            // A replica that has lost the database follows the log, and would decide without the change for as long as
            // the log lacks it.
            Log::Failed(since) => over(since, Verdict::Unconfirmed),
        }
    }
}
