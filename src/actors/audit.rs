//! The audit trail beside the changes, whose events the policy evaluator writes: reading it, what is kept of it, a file
//! of it, and sums of what happens without a change, such as refusals. No actor: sums are counted in memory, and the
//! Janitor writes and prunes.

mod file;
mod sums;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use self::file::EventFile;
use self::sums::Sums;
use super::admission::AdmissionLimit;
use crate::auth::secret;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery, EventRetention};
use crate::domain::id::EventId;
use crate::formats::quantity;
use crate::store::audit_file::AuditFile;
use crate::store::error::StoreError;
use crate::store::identities::IdentityStore;

pub use self::sums::Occurrence;

/// Handle of the audit trail. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct AuditTrail(Arc<Inner>);

struct Inner {
    store: IdentityStore,
    options: AuditOptions,
    readers: AdmissionLimit,
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
    /// Too many others read them.
    #[error("too many lists of audit events are read at once")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Maximum number of requests that read events at once. Each may read all of them.
const MAX_READERS: usize = 4;

impl AuditTrail {
    /// Creates the handle over this store. Events are also appended to `file`, if there is one.
    pub fn new(store: IdentityStore, options: AuditOptions, file: Option<AuditFile>) -> Self {
        let readers = AdmissionLimit::new("audit_readers", MAX_READERS);
        Self(Arc::new(Inner { store, options, readers, sums: Sums::default(), file: file.map(EventFile::new) }))
    }

    /// Returns a part of the events.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read, or if too many others read it.
    pub async fn events(&self, query: EventQuery) -> Result<EventPart, AuditError> {
        let _permit = self.0.readers.try_acquire().ok_or(AuditError::Busy)?;
        Ok(self.0.store.events(query).await?)
    }

    /// Returns the event with this number; `None` if there is none, or none any more.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read, or if too many others read it.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, AuditError> {
        let _permit = self.0.readers.try_acquire().ok_or(AuditError::Busy)?;
        Ok(self.0.store.event(id).await?)
    }

    /// Counts something that is no change. It is written with all that are alike, a minute after the first of them. What
    /// happens in the last minute before a crash is lost.
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

    /// Removes the oldest events where there are too many.
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
        while self.0.store.prune_events(retention).await? {}
        Ok(())
    }
}
