//! Audit events in the database of identities.
//!
//! - The events of changes are entries of the changes themselves, under `event/<number>` beside the records. So an
//!   event is in the [journal](super::journal), the export and backups, and survives exactly if its change does.
//! - Sums of refusals and sign-ins are in a tree of their own, only here. They are not forced to the disk, and a rebuilt
//!   database lacks them.
//!
//! Both kinds have numbers of one sequence. A number is the time of the write in microseconds, or the last number plus
//! one if the clock stands or goes back. Numbers are assigned and become visible in the same order, so that a reader who
//! has seen one never misses an earlier one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::value::to_raw_value;

use super::changes::Entry;
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
    pub(super) changes: Held,
    pub(super) sums: Held,
}

/// Size of the events of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The length of keys and values, in bytes.
    pub(super) bytes: u64,
    /// True while the oldest are being removed because of the size.
    pub(super) shrinking: bool,
}

/// Beginning of the keys of events of changes.
pub(super) const KEY_PREFIX: &str = "event/";

/// Number of digits of a number in a key, so that keys are ordered as their numbers.
const DIGITS: usize = 16;

impl Events {
    /// Reads numbers and sizes from the database. Fails if it is damaged.
    pub(super) fn of(database: &RecordsDatabase) -> Result<Self, StoreError> {
        let (changes, last_change) = database.size_of_events()?;
        let (sums, last_sum) = database.size_of_sums()?;
        let last = last_change.max(last_sum);
        let held = |bytes| Held { bytes, shrinking: false };
        let state = State { last, changes: held(changes), sums: held(sums) };
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

impl Held {
    /// Counts entries that were written or removed, whose values are known.
    pub(super) fn add(&mut self, entries: &[Entry]) {
        self.bytes += entries.iter().map(bytes_of).sum::<u64>();
    }

    /// Returns the size down to which the oldest are removed: `None` if there is space.
    pub(super) fn excess(&mut self, max_bytes: u64) -> Option<u64> {
        // So that a full trail does not cost a removal at every write.
        let target = max_bytes - max_bytes / 20;
        self.shrinking = self.bytes > if self.shrinking { target } else { max_bytes };
        self.shrinking.then_some(target)
    }
}

fn bytes_of(entry: &Entry) -> u64 {
    (entry.key.len() + entry.value.as_ref().map_or(0, |value| value.get().len())) as u64
}

/// Returns the entry of an event that follows the one with the key `last`. Fails if it cannot be serialised.
pub(super) fn following(last: Option<&String>, event: &Event) -> Result<Entry, StoreError> {
    let last = last.map_or(Ok(0), |key| id_in(key.as_bytes()).map(|id| id.0))?;
    let mut state = State { last, changes: Held::default(), sums: Held::default() };
    let entry = state.number(std::slice::from_ref(event))?.pop();
    entry.ok_or_else(|| StoreError::Io("an audit event could not be numbered".to_owned()))
}

/// Returns the key of an event.
pub(super) fn key(id: EventId) -> String {
    format!("{KEY_PREFIX}{:0DIGITS$}", id.0)
}

/// Returns the number in a key. Fails if the key is not one of an event.
pub(super) fn id_in(key: &[u8]) -> Result<EventId, StoreError> {
    let digits = key.strip_prefix(KEY_PREFIX.as_bytes()).and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok()).map(EventId);
    number.ok_or_else(|| StoreError::Damaged("an audit event has another key".to_owned()))
}

/// Returns true if this is the key of an event.
pub(super) fn is_key(key: &str) -> bool {
    key.starts_with(KEY_PREFIX)
}
