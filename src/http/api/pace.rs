//! How many changes a caller may make. Each costs a write that is forced to the disk and memory for as long as it lasts; one
//! caller who makes them in a loop must not take both from the others.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::error::ApiError;
use crate::auth::login_limit::{Allowance, Failures};
use crate::domain::id::{GroupId, UserId};
use crate::domain::policy::Identity;

/// Counts the changes of each caller. At most one entry for each user and group that made one within the last minute or so.
pub(crate) struct Pace {
    others: Option<Mutex<Failures<Counted>>>,
    administrators: Option<Mutex<Failures<Counted>>>,
}

/// Whose changes are counted together: a user's, with whichever token, and those of all access tokens of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    User(UserId),
    Group(GroupId),
}

impl Pace {
    /// With these allowances; `None`: any number.
    pub(crate) fn new(others: Option<Allowance>, administrators: Option<Allowance>) -> Self {
        let counted = |allowance: Option<Allowance>| allowance.map(|allowance| Mutex::new(Failures::new(allowance)));
        Self { others: counted(others), administrators: counted(administrators) }
    }

    /// Counts one change of this caller, or says how long to wait where there were too many.
    pub(super) fn admit(&self, identity: &Identity) -> Result<(), ApiError> {
        let Some(user) = identity.user() else { return Err(ApiError::Unauthorized) };
        let buckets = if user.admin { &self.administrators } else { &self.others };
        let Some(buckets) = buckets else { return Ok(()) };
        let counted = user.bot_of.map_or(Counted::User(user.id), Counted::Group);
        // Counts stay meaningful whatever panicked while it held them.
        let (mut buckets, now) = (buckets.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        match buckets.wait(&counted, now) {
            None => {
                buckets.record(counted, now);
                Ok(())
            }
            Some(wait) => {
                metrics::counter!("dependency_proxy_changes_throttled_total").increment(1);
                Err(ApiError::TooManyChanges(wait))
            }
        }
    }
}
