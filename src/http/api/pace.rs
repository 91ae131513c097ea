//! Rate limit of changes. Each change costs a write that is forced to disk, and memory for as long as its object
//! exists. A caller who makes changes in a loop must not take both from the others.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::ApiError;
use crate::auth::login_limit::{Allowance, Failures};
use crate::domain::id::{GroupId, UserId};
use crate::domain::limits::Limits;
use crate::domain::policy::Identity;

/// Counts the changes of each caller. Has at most one entry for each user and group that made one within the last
/// minute or so.
pub(crate) struct Pace {
    others: Option<Mutex<Failures<Counted>>>,
    administrators: Option<Mutex<Failures<Counted>>>,
}

/// Owner of a count: a user, with any token, or a group, with all its access tokens together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    User(UserId),
    Group(GroupId),
}

impl Pace {
    /// Creates the counts for these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        let counted = |changes: u32| {
            let forget_one_after = Duration::from_secs(60).checked_div(changes)?;
            Some(Mutex::new(Failures::new(Allowance { burst: changes, forget_one_after })))
        };
        Self { others: counted(limits.changes_per_minute), administrators: counted(limits.admin_changes_per_minute) }
    }

    /// Counts one change of this caller.
    ///
    /// # Errors
    /// `TooManyChanges`, with the time to wait.
    pub(super) fn admit(&self, identity: &Identity) -> Result<(), ApiError> {
        let Some(user) = identity.user() else { return Err(ApiError::Unauthorized) };
        let buckets = if user.admin { &self.administrators } else { &self.others };
        let Some(buckets) = buckets else { return Ok(()) };
        let counted = user.bot_of.map_or(Counted::User(user.id), Counted::Group);
        // The counts are valid even if a thread panicked while it held the lock.
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
