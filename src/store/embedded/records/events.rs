//! Audit events in the database: reading a part of them, their size, and the oldest of them.

use sled::{Batch, IVec};

use super::{RecordsDatabase, guarded};
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::id::EventId;
use crate::store::embedded::changes::Entry;
use crate::store::embedded::events::{KEY_PREFIX, id_in, key};
use crate::store::error::StoreError;

/// An event as it is stored.
type Stored = Result<(EventId, IVec), StoreError>;

/// Time for which the clock may have been set back, in microseconds: numbers of events are compared with times.
const CLOCK_TOLERANCE: u64 = 24 * 3600 * 1_000_000;

impl RecordsDatabase {
    /// Returns the bytes that the events of changes take, and the last number; 0 if there are none.
    pub(in crate::store::embedded) fn size_of_events(&self) -> Result<(u64, u64), StoreError> {
        size_of(&self.records)
    }

    /// Returns the bytes that the sums take, and the last number; 0 if there are none.
    pub(in crate::store::embedded) fn size_of_sums(&self) -> Result<(u64, u64), StoreError> {
        size_of(&self.sums)
    }

    /// Adds sums. Not forced to the disk. Fails if the disk is full or fails.
    pub(in crate::store::embedded) fn note_sums(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.database.check_writable()?;
        Ok(self.sums.apply_batch(super::batch_of(entries))?)
    }

    /// Returns the event with this number; `None` if there is none. Fails if the database is damaged.
    pub(in crate::store::embedded) fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        guarded(|| {
            let found = match self.records.get(key(id))? {
                None => self.sums.get(key(id))?,
                found => found,
            };
            Ok(found.map(|value| serde_json::from_slice(&value)).transpose()?)
        })
    }

    /// Returns a part of the events up to the number `last`. Fails if the database is damaged.
    pub(in crate::store::embedded) fn events(
        &self,
        query: &EventQuery,
        last: EventId,
    ) -> Result<EventPart, StoreError> {
        guarded(|| {
            let (first, last) = bounds(query, last.0);
            if first > last {
                return Ok(EventPart::default());
            }
            let keys = key(EventId(first))..=key(EventId(last));
            let (changes, sums) = (self.records.range(keys.clone()).map(stored), self.sums.range(keys).map(stored));
            if query.ascending {
                part(merged(changes, sums, |one, other| one < other), query)
            } else {
                part(merged(changes.rev(), sums.rev(), |one, other| one > other), query)
            }
        })
    }

    /// Returns the entries that remove the oldest events of changes, at most `max`: those before the number `before`,
    /// and others until `excess` bytes are removed. With the number of bytes.
    pub(in crate::store::embedded) fn oldest_events(
        &self,
        before: EventId,
        excess: u64,
        max: usize,
    ) -> Result<(Vec<Entry>, u64), StoreError> {
        oldest(&self.records, before, excess, max)
    }

    /// Removes the oldest sums as [`Self::oldest_events`] selects events. Returns their number and their bytes.
    pub(in crate::store::embedded) fn remove_oldest_sums(
        &self,
        before: EventId,
        excess: u64,
        max: usize,
    ) -> Result<(usize, u64), StoreError> {
        let (entries, bytes) = oldest(&self.sums, before, excess, max)?;
        let mut batch = Batch::default();
        entries.iter().for_each(|entry| batch.remove(entry.key.as_bytes()));
        self.sums.apply_batch(batch)?;
        Ok((entries.len(), bytes))
    }
}

/// Returns the first and the last number of the part.
fn bounds(query: &EventQuery, last: u64) -> (u64, u64) {
    // No event was written before the time that it has.
    let after = query.filter.after.and_then(|after| u64::try_from(after.as_microsecond()).ok());
    let first = after.unwrap_or_default().saturating_sub(CLOCK_TOLERANCE);
    match (query.from, query.ascending) {
        (None, _) => (first, last),
        (Some(from), true) => (first.max(from.0.saturating_add(1)), last),
        (Some(from), false) => (first, last.min(from.0.saturating_sub(1))),
    }
}

fn stored(entry: sled::Result<(IVec, IVec)>) -> Stored {
    let (key, value) = entry?;
    Ok((id_in(&key)?, value))
}

/// Returns both sequences as one, in the order of `is_first`. Errors come first.
fn merged(
    one: impl Iterator<Item = Stored>,
    other: impl Iterator<Item = Stored>,
    is_first: impl Fn(EventId, EventId) -> bool,
) -> impl Iterator<Item = Stored> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let from_one = match (one.peek(), other.peek()) {
            (Some(Ok((first, _))), Some(Ok((second, _)))) => is_first(*first, *second),
            (Some(_), None) | (Some(Err(_)), Some(_)) => true,
            (None, _) | (Some(Ok(_)), Some(Err(_))) => false,
        };
        if from_one { one.next() } else { other.next() }
    })
}

fn part(events: impl Iterator<Item = Stored>, query: &EventQuery) -> Result<EventPart, StoreError> {
    let mut part = EventPart::default();
    for stored in events {
        let (id, value) = stored?;
        let event: Event = serde_json::from_slice(&value)?;
        if !query.filter.fits(&event) {
            continue;
        }
        part.total += 1;
        if part.total > query.skip && part.events.len() < query.limit {
            part.events.push((id, event));
        } else if part.total > query.skip {
            part.more = true;
            if !query.counted {
                break;
            }
        }
    }
    Ok(part)
}

fn size_of(tree: &sled::Tree) -> Result<(u64, u64), StoreError> {
    guarded(|| {
        let (mut bytes, mut last) = (0, 0);
        for entry in tree.scan_prefix(KEY_PREFIX) {
            let (key, value) = entry?;
            bytes += (key.len() + value.len()) as u64;
            last = id_in(&key)?.0;
        }
        Ok((bytes, last))
    })
}

fn oldest(tree: &sled::Tree, before: EventId, excess: u64, max: usize) -> Result<(Vec<Entry>, u64), StoreError> {
    guarded(|| {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in tree.scan_prefix(KEY_PREFIX).take(max) {
            let (key, value) = entry?;
            let id = id_in(&key)?;
            if bytes >= excess && id >= before {
                break;
            }
            bytes += (key.len() + value.len()) as u64;
            entries.push(Entry { key: self::key(id), value: None });
        }
        Ok((entries, bytes))
    })
}
