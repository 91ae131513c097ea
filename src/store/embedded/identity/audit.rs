//! Audit events of an open store: sums, reading, and the removal of old ones. The events of changes are written with
//! the changes.

use super::EmbeddedIdentities;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, PrunedEvents};
use crate::domain::id::EventId;
use crate::store::embedded::changes::Entry;
use crate::store::embedded::event_key::key;
use crate::store::embedded::events::bytes_of;
use crate::store::embedded::records::SizedEvent;
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
        state.sum_bytes += bytes_of(&entries);
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

    /// Removes events that are not to be kept: some of those that are too old, and all for which there is no space.
    /// Returns their numbers; there may be more as long as there were some.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub fn prune_events(&self, retention: &EventRetention) -> Result<PrunedEvents, StoreError> {
        let before = retention.before.and_then(|before| u64::try_from(before.as_microsecond()).ok());
        let before = EventId(before.unwrap_or_default());
        let old_changes = self.database.old_events(before, EVENTS_PER_STEP)?;
        self.remove_changes(&old_changes)?;
        let old_sums = self.database.old_sums(before, EVENTS_PER_STEP)?;
        self.remove_sums(&old_sums)?;
        Ok(PrunedEvents {
            old: old_changes.len() + old_sums.len(),
            surplus_changes: self.remove_surplus_changes(retention.max_change_bytes)?,
            surplus_sums: self.remove_surplus_sums(retention.max_sum_bytes)?,
        })
    }

    fn remove_surplus_changes(&self, max_bytes: u64) -> Result<usize, StoreError> {
        if self.events.writing().change_bytes <= max_bytes {
            return Ok(0);
        }
        let surplus = self.database.surplus_events(target(max_bytes))?;
        surplus.chunks(EVENTS_PER_STEP).try_for_each(|step| self.remove_changes(step))?;
        Ok(surplus.len())
    }

    fn remove_surplus_sums(&self, max_bytes: u64) -> Result<usize, StoreError> {
        if self.events.writing().sum_bytes <= max_bytes {
            return Ok(0);
        }
        let surplus = self.database.surplus_sums(target(max_bytes))?;
        surplus.chunks(EVENTS_PER_STEP).try_for_each(|step| self.remove_sums(step))?;
        Ok(surplus.len())
    }

    fn remove_changes(&self, events: &[SizedEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry> = events.iter().map(|(id, _)| Entry { key: key(*id), value: None }).collect();
        let mut state = self.events.writing();
        self.database.check_writable()?;
        self.journal.append(&entries, |position| self.database.apply(&entries, position))?;
        state.change_bytes = state.change_bytes.saturating_sub(size_of(events));
        Ok(())
    }

    fn remove_sums(&self, sums: &[SizedEvent]) -> Result<(), StoreError> {
        if sums.is_empty() {
            return Ok(());
        }
        let mut state = self.events.writing();
        self.database.remove_sums(sums)?;
        state.sum_bytes = state.sum_bytes.saturating_sub(size_of(sums));
        Ok(())
    }
}

/// Returns the size that remains of events that take more than `max_bytes`.
fn target(max_bytes: u64) -> u64 {
    // So that a full trail does not cost a removal at every write.
    max_bytes - max_bytes / 20
}

fn size_of(events: &[SizedEvent]) -> u64 {
    events.iter().map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests;
