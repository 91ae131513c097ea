//! Audit events in the database: reading a part of them, their size, and those that are removed.

use sled::{Batch, IVec};

use super::{RecordsDatabase, guarded};
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{HeldEvent, Holder, surplus};
use crate::domain::id::EventId;
use crate::store::all_identities::KeptEvent;
use crate::store::embedded::changes::Entry;
use crate::store::embedded::event_key::{KEY_PREFIX, id_in, key};
use crate::store::error::StoreError;

/// An event as it is stored.
type Stored = Result<(EventId, IVec), StoreError>;

/// The number of an event, and the length of its key and value in bytes.
pub(in crate::store::embedded) type SizedEvent = (EventId, u64);

impl RecordsDatabase {
    /// Returns the bytes that the events of changes take, and the last number; 0 if there are none.
    pub(in crate::store::embedded) fn size_of_events(&self) -> Result<(u64, u64), StoreError> {
        size_of(&self.records)
    }

    /// Returns the bytes that the sums take, and the last number; 0 if there are none.
    pub(in crate::store::embedded) fn size_of_sums(&self) -> Result<(u64, u64), StoreError> {
        size_of(&self.sums)
    }

    /// Returns all events, in the order of their numbers. Fails if the database is damaged.
    pub(in crate::store::embedded) fn kept_events(&self) -> Result<Vec<KeptEvent>, StoreError> {
        let kept = |of_change, tree: &sled::Tree| {
            let kept = tree.scan_prefix(KEY_PREFIX).map(|entry| {
                let (id, value) = stored(entry)?;
                Ok(KeptEvent { id, of_change, event: serde_json::from_slice(&value)? })
            });
            kept.collect::<Result<Vec<_>, StoreError>>()
        };
        guarded(|| {
            let mut events = kept(true, &self.records)?;
            events.extend(kept(false, &self.sums)?);
            events.sort_unstable_by_key(|event| event.id.0);
            Ok(events)
        })
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
            let (first, last) = query.numbers(last);
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

    /// Returns the oldest events of changes, those before the number `before`, at most `max`.
    pub(in crate::store::embedded) fn old_events(
        &self,
        before: EventId,
        max: usize,
    ) -> Result<Vec<SizedEvent>, StoreError> {
        old(&self.records, before, max)
    }

    /// Returns the oldest sums as [`Self::old_events`] does.
    pub(in crate::store::embedded) fn old_sums(
        &self,
        before: EventId,
        max: usize,
    ) -> Result<Vec<SizedEvent>, StoreError> {
        old(&self.sums, before, max)
    }

    /// Returns the events of changes to remove, so that at most `max_bytes` remain. Reads all of them.
    pub(in crate::store::embedded) fn surplus_events(&self, max_bytes: u64) -> Result<Vec<SizedEvent>, StoreError> {
        surplus_of(&self.records, Holder::of_change, max_bytes)
    }

    /// Returns the sums to remove, so that at most `max_bytes` remain. Reads all of them.
    pub(in crate::store::embedded) fn surplus_sums(&self, max_bytes: u64) -> Result<Vec<SizedEvent>, StoreError> {
        surplus_of(&self.sums, Holder::of_sum, max_bytes)
    }

    /// Removes these sums. Not forced to the disk.
    pub(in crate::store::embedded) fn remove_sums(&self, sums: &[SizedEvent]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        sums.iter().for_each(|(id, _)| batch.remove(key(*id).as_bytes()));
        Ok(self.sums.apply_batch(batch)?)
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
        if !part.add(id, serde_json::from_slice(&value)?, query) {
            break;
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

fn old(tree: &sled::Tree, before: EventId, max: usize) -> Result<Vec<SizedEvent>, StoreError> {
    guarded(|| {
        let sized = tree.scan_prefix(KEY_PREFIX).take(max).map(|entry| {
            let (key, value) = entry?;
            Ok((id_in(&key)?, (key.len() + value.len()) as u64))
        });
        sized.take_while(|event| event.as_ref().map_or(true, |(id, _)| *id < before)).collect()
    })
}

fn surplus_of(tree: &sled::Tree, holder: fn(&Event) -> Holder, max_bytes: u64) -> Result<Vec<SizedEvent>, StoreError> {
    let held = guarded(|| {
        let held = tree.scan_prefix(KEY_PREFIX).map(|entry| {
            let (key, value) = entry?;
            // One damaged event must not keep all others from being removed.
            let holder = serde_json::from_slice(&value).map_or_else(|_| Holder::unknown(), |event| holder(&event));
            Ok::<_, StoreError>(HeldEvent { id: id_in(&key)?, holder, bytes: (key.len() + value.len()) as u64 })
        });
        held.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(surplus(held, max_bytes).into_iter().map(|event| (event.id, event.bytes)).collect())
}
