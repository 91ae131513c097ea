//! Rate limit of changes. Each change costs a write that is forced to disk, memory for as long as its object exists,
//! and space for its records and audit events. A caller who makes changes in a loop must not take these from the
//! others. A change of several objects counts as many: afterwards, because their number is known only then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::ApiError;
use crate::auth::login_limit::{Allowance, Failures};
use crate::domain::id::{GroupId, UserId};
use crate::domain::limits::Limits;
use crate::domain::policy::Identity;
use crate::domain::user::User;

/// Counts the changes of each caller. Has at most one entry for each user and group that made one within the last
/// minute or so.
pub(crate) struct Pace {
    others: Option<Mutex<Failures<Counted>>>,
    administrators: Option<Mutex<Failures<Counted>>>,
}

/// Number of objects that a change may have for the price of one: a token with its bot and membership, and some tokens
/// whose ends it brings forward.
const FREE_OBJECTS: usize = 10;

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
        let Some((mut counts, counted)) = self.counts_of(user) else { return Ok(()) };
        let now = Instant::now();
        match counts.wait(&counted, now) {
            None => {
                counts.record(counted, now);
                Ok(())
            }
            Some(wait) => {
                metrics::counter!("dependency_proxy_changes_throttled_total").increment(1);
                Err(ApiError::TooManyChanges(wait))
            }
        }
    }

    /// Counts the objects of a change that was admitted, as far as they are more than [`FREE_OBJECTS`].
    pub(super) fn count_objects(&self, identity: &Identity, objects: usize) {
        let more = u32::try_from(objects.saturating_sub(FREE_OBJECTS)).unwrap_or(u32::MAX);
        let counts = identity.user().and_then(|user| self.counts_of(user)).filter(|_| more > 0);
        if let Some((mut counts, counted)) = counts {
            counts.record_many(counted, more, Instant::now());
        }
    }

    fn counts_of(&self, user: &User) -> Option<(MutexGuard<'_, Failures<Counted>>, Counted)> {
        let counts = if user.admin { self.administrators.as_ref() } else { self.others.as_ref() }?;
        let counted = user.bot_of.map_or(Counted::User(user.id), Counted::Group);
        // The counts are valid even if a thread panicked while it held the lock.
        Some((counts.lock().unwrap_or_else(PoisonError::into_inner), counted))
    }
}
