//! Several replicas of the service that share one store of identities: how long a replica may decide without a look
//! at the store, and when a change may be acknowledged.
//!
//! Each replica decides by a directory in memory. It looks at the store again and again, and decides only for a bounded
//! time after the last look ([`validity`]). A change is acknowledged once every replica has it or has stopped to decide
//! without it ([`confirmation`]). So no replica decides by what held before an acknowledged change. Nor does a response
//! show a change before that: who reads that a token is revoked can rely on it, too. Times of two machines are never
//! compared.
//!
//! A look at the store reads the database or, while that cannot be reached, the change log in the object store. The
//! log has a change before it counts as logged, and has no gaps: what is missing there after a crash is added before
//! the next change. With [`messages`], a replica requests from another whether it has a change.

pub mod confirmation;
pub mod messages;
pub mod validity;

use super::directory::Version;

/// A state of the identities: the number of the last change, and the history that it belongs to. A database that was
/// restored to an earlier state begins another history, so that two changes with one number are distinguished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The history; empty where nothing is shared.
    pub history: String,
    /// The number of the last change.
    pub version: Version,
}

impl State {
    /// Returns true if this state has all changes of the other one, of the same history.
    pub fn covers(&self, other: &Self) -> bool {
        self.history == other.history && self.version >= other.version
    }
}

#[cfg(test)]
mod model;
