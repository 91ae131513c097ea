//! Audit events in the database of identities.
//!
//! - The events of changes are entries of the changes themselves, under `event/<number>` beside the records. So an
//!   event is in the [journal](super::journal), the export and backups, and survives exactly if its change does.
//! - Sums of refusals and sign-ins are in a tree of their own, only here. They are not forced to the disk, and a
//!   rebuilt database lacks them.
//!
//! Both kinds have numbers of one sequence. A number is the time of the write in microseconds, or the last number plus
//! one if the clock stands or goes back. Numbers are assigned and become visible in the same order, so that a reader
//! who has seen one never misses an earlier one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::value::to_raw_value;

use super::changes::Entry;
use super::event_key::{id_in, key};
use super::records::RecordsDatabase;
use crate::domain::audit::Event;
use crate::domain::id::EventId;
use crate::store::error::StoreError;

/// Numbers and sizes of the stored events.
pub(super) struct Events {
    state: Mutex<State>,
    /// The last number whose event, and all before it, can be read.
    visible: AtomicU64,
}

/// State that a writer of events holds while it writes.
pub(super) struct State {
    last: u64,
    /// The length of keys and values of the events of changes, in bytes.
    pub(super) change_bytes: u64,
    /// The same of the sums.
    pub(super) sum_bytes: u64,
}

impl Events {
    /// Reads numbers and sizes from the database. Fails if it is damaged.
    pub(super) fn of(database: &RecordsDatabase) -> Result<Self, StoreError> {
        let (change_bytes, last_change) = database.size_of_events()?;
        let (sum_bytes, last_sum) = database.size_of_sums()?;
        let last = last_change.max(last_sum);
        let state = State { last, change_bytes, sum_bytes };
        Ok(Self { state: Mutex::new(state), visible: AtomicU64::new(last) })
    }

    /// Lets the caller write events; others wait meanwhile.
    pub(super) fn writing(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the events visible that were written with this state.
    pub(super) fn show(&self, state: &State) {
        self.visible.store(state.last, Ordering::Release);
    }

    /// Returns the last number that can be read.
    pub(super) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }
}

impl State {
    /// Returns these events as entries, with the next numbers. Fails if one cannot be serialised.
    pub(super) fn number(&mut self, events: &[Event]) -> Result<Vec<Entry>, StoreError> {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        let entry = |event| {
            self.last = now.max(self.last + 1);
            Ok(Entry { key: key(EventId(self.last)), value: Some(to_raw_value(event)?) })
        };
        events.iter().map(entry).collect()
    }
}

/// Returns the length of the keys and values of entries that are written, in bytes.
pub(super) fn bytes_of(entries: &[Entry]) -> u64 {
    let bytes = |entry: &Entry| (entry.key.len() + entry.value.as_ref().map_or(0, |value| value.get().len())) as u64;
    entries.iter().map(bytes).sum()
}

/// Returns the entry of an event that follows the one with the key `last`. Fails if it cannot be serialised.
pub(super) fn following(last: Option<&String>, event: &Event) -> Result<Entry, StoreError> {
    let last = last.map_or(Ok(0), |key| id_in(key.as_bytes()).map(|id| id.0))?;
    let mut state = State { last, change_bytes: 0, sum_bytes: 0 };
    let entry = state.number(std::slice::from_ref(event))?.pop();
    entry.ok_or_else(|| StoreError::Io("an audit event could not be numbered".to_owned()))
}
