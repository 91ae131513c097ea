//! The audit trail, apart from the events of changes, which the policy evaluator writes: reads events, removes old
//! ones, appends them to a file, and sums up what happens without a change, such as refusals. It is no actor: sums are
//! counted in memory, and the Janitor writes them and removes old events.

mod file;
mod sums;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

use self::file::EventFile;
use self::sums::Sums;
use super::admission::{AdmissionLimit, Permit, Share, Shares};
use crate::auth::secret;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, PrunedEvents};
use crate::domain::deadlines;
use crate::domain::id::{EventId, UserId};
use crate::formats::quantity;
use crate::store::audit_file::AuditFile;
use crate::store::error::StoreError;
use crate::store::identities::IdentityStore;
use crate::telemetry::LineLimit;

pub use self::sums::Occurrence;

/// Handle of the audit trail. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct AuditTrail(Arc<Inner>);

struct Inner {
    store: IdentityStore,
    options: AuditOptions,
    readers: AdmissionLimit,
    readers_of_users: Shares<UserId>,
    sums: Sums,
    file: Option<EventFile>,
}

/// The section `[audit]` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct AuditOptions {
    /// Number of days for which events are kept; 0: until there are too many.
    pub keep_days: u32,
    /// Maximum size of the events of changes, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_bytes: u64,
    /// Maximum size of the sums of refusals and sign-ins, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_refusal_bytes: u64,
}

/// Reason why events could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Too many requests read events already.
    #[error("too many lists of audit events are read at once")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Maximum number of requests that read events at once. Each may read all of them.
const MAX_READERS: usize = 4;

/// Maximum number of those of one user. Further ones wait.
const MAX_READERS_OF_USER: usize = 1;

/// Label of the metrics about waiting readers.
const QUEUE: &str = "audit_readers";

impl AuditTrail {
    /// Creates the handle over this store. Events are also appended to `file`, if there is one.
    pub fn new(store: IdentityStore, options: AuditOptions, file: Option<AuditFile>) -> Self {
        let readers = AdmissionLimit::new(QUEUE, MAX_READERS);
        let readers_of_users = Shares::new(QUEUE, MAX_READERS_OF_USER);
        let file = file.map(EventFile::new);
        Self(Arc::new(Inner { store, options, readers, readers_of_users, sums: Sums::default(), file }))
    }

    /// Returns a part of the events, for this user.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read, or if too many others read it for 10 seconds.
    pub async fn events(&self, reader: UserId, query: EventQuery) -> Result<EventPart, AuditError> {
        let _permits = self.permits(reader).await?;
        Ok(self.0.store.events(query).await?)
    }

    /// Returns the event with this number, for this user; `None` if there is none, or none any more.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::events`] does.
    pub async fn event(&self, reader: UserId, id: EventId) -> Result<Option<Event>, AuditError> {
        let _permits = self.permits(reader).await?;
        Ok(self.0.store.event(id).await?)
    }

    async fn permits(&self, reader: UserId) -> Result<(Share<UserId>, Permit), AuditError> {
        let late = Instant::now() + deadlines::SHORT_PERMIT;
        let share = self.0.readers_of_users.acquire(reader, late).await.ok_or(AuditError::Busy)?;
        Ok((share, self.0.readers.acquire(late).await.ok_or(AuditError::Busy)?))
    }

    /// Counts an occurrence that is no change. All alike are written as one event, a minute after the first of them.
    /// Counts of the last minute before a crash are lost.
    pub fn note(&self, occurrence: Occurrence, now: Timestamp) {
        self.0.sums.note(occurrence, now);
    }

    /// Writes the sums whose minute has ended, or with `all` every sum. Those that cannot be written are lost, because
    /// they would take ever more memory.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn write_sums(&self, now: Timestamp, all: bool) -> Result<(), StoreError> {
        let events = self.0.sums.take(now, all).into_iter();
        let events = events.map(|event| event.with_texts(|text| secret::redacted(text).into_owned()));
        self.0.store.note_events(events.collect()).await
    }

    /// Appends to the file, if there is one, the events that it lacks.
    ///
    /// # Errors
    ///
    /// Fails if the events cannot be read.
    pub(super) async fn write_file(&self) -> Result<(), StoreError> {
        match &self.0.file {
            Some(file) => file.write(&self.0.store).await,
            None => Ok(()),
        }
    }

    /// Removes events where there are too many.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn prune(&self) -> Result<(), StoreError> {
        self.prune_before(None).await
    }

    /// Removes the events that are too old at this time.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub(super) async fn expire(&self, now: Timestamp) -> Result<(), StoreError> {
        let days = i64::from(self.0.options.keep_days);
        if days == 0 {
            return Ok(());
        }
        self.prune_before(now.checked_sub(SignedDuration::from_hours(24 * days)).ok()).await
    }

    async fn prune_before(&self, before: Option<Timestamp>) -> Result<(), StoreError> {
        let AuditOptions { max_bytes, max_refusal_bytes, .. } = self.0.options;
        let retention = EventRetention { before, max_change_bytes: max_bytes, max_sum_bytes: max_refusal_bytes };
        // In small steps, between which changes are written.
        loop {
            let pruned = self.0.store.prune_events(retention).await?;
            if pruned == PrunedEvents::default() {
                return Ok(());
            }
            report(pruned);
        }
    }
}

/// Counts events that were removed, and warns if those of changes were removed before they were old.
fn report(PrunedEvents { old, surplus_changes, surplus_sums }: PrunedEvents) {
    for (reason, number) in [("age", old), ("space", surplus_changes + surplus_sums)] {
        let counter = metrics::counter!("dependency_proxy_audit_events_removed_total", "reason" => reason);
        counter.increment(number as u64);
    }
    static LINES: LineLimit<()> = LineLimit::new();
    if surplus_changes > 0
        && let Some(left_out) = LINES.admit(&())
    {
        tracing::warn!(
            events = surplus_changes,
            left_out,
            "audit events were removed before audit.keep_days, because there is no space for more: those of the groups or \
             users with the most. Raise audit.max_bytes to keep more"
        );
    }
}
