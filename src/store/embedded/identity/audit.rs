//! Audit events of an open store: sums, reading, and the removal of old ones. The events of changes are written with
//! the changes.

use super::EmbeddedIdentities;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery, EventRetention};
use crate::domain::id::EventId;
use crate::store::error::StoreError;

/// Maximum number of events that are removed in one step.
const EVENTS_PER_STEP: usize = 256;

impl EmbeddedIdentities {
    /// Adds sums of what has no change of its own. Not forced to the disk: the loss of some minutes is harmless.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn note_events(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut state = self.events.writing();
        let entries = state.number(events)?;
        self.database.note_sums(&entries)?;
        state.sums.add(&entries);
        self.events.show(&state);
        Ok(())
    }

    /// Returns a part of the events. Reads all of them in the worst case.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn events(&self, query: &EventQuery) -> Result<EventPart, StoreError> {
        self.database.events(query, EventId(self.events.visible()))
    }

    /// Returns the event with this number; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the database is damaged or cannot be read.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        if id.0 > self.events.visible() { Ok(None) } else { self.database.event(id) }
    }

    /// Removes some of the oldest events that are not to be kept. Returns true if there may be more.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn prune_events(&self, retention: &EventRetention) -> Result<bool, StoreError> {
        let before = retention.before.and_then(|before| u64::try_from(before.as_microsecond()).ok());
        let before = EventId(before.unwrap_or_default());
        let (changes, sums) = (
            self.prune_changes(before, retention.max_change_bytes)?,
            self.prune_sums(before, retention.max_sum_bytes)?,
        );
        Ok(changes || sums)
    }

    fn prune_changes(&self, before: EventId, max_bytes: u64) -> Result<bool, StoreError> {
        let mut state = self.events.writing();
        let excess = state.changes.excess(max_bytes).map_or(0, |target| state.changes.bytes - target);
        let (entries, bytes) = self.database.oldest_events(before, excess, EVENTS_PER_STEP)?;
        if entries.is_empty() {
            return Ok(false);
        }
        self.database.check_writable()?;
        self.journal.append(&entries, |position| self.database.apply(&entries, position))?;
        state.changes.bytes = state.changes.bytes.saturating_sub(bytes);
        Ok(entries.len() == EVENTS_PER_STEP || state.changes.excess(max_bytes).is_some())
    }

    fn prune_sums(&self, before: EventId, max_bytes: u64) -> Result<bool, StoreError> {
        let mut state = self.events.writing();
        let excess = state.sums.excess(max_bytes).map_or(0, |target| state.sums.bytes - target);
        let (removed, bytes) = self.database.remove_oldest_sums(before, excess, EVENTS_PER_STEP)?;
        state.sums.bytes = state.sums.bytes.saturating_sub(bytes);
        Ok(removed == EVENTS_PER_STEP || (removed > 0 && state.sums.excess(max_bytes).is_some()))
    }
}

#[cfg(test)]
mod tests;
