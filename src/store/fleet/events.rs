//! Audit events and times of last use in the database of a fleet. Events have numbers of one sequence, assigned under
//! the lock of `fence`, so that a reader who has seen one never misses an earlier one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::database::{IDLE_TIMEOUT, transaction_limits, work};
use super::identity::FleetIdentities;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, HeldEvent, Holder, PrunedEvents, surplus};
use crate::domain::id::{CredentialId, EventId};
use crate::domain::last_use::LastUse;
use crate::store::error::StoreError;

/// An event with its number, as text.
pub(super) type NumberedEvent = (i64, String);

/// Maximum number of events that are read or removed in one step.
const EVENTS_PER_STEP: i64 = 500;

const INSERT: &str = "INSERT INTO event (id, of_change, bytes, event) \
    SELECT id, $3, length(event), event::json FROM unnest($1::bigint[], $2::text[]) AS new (id, event)";
const EVENT: &str = "SELECT event::text FROM event WHERE id = $1";
const ASCENDING: &str = "SELECT id, event::text FROM event WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3";
const DESCENDING: &str = "SELECT id, event::text FROM event WHERE id >= $1 AND id <= $2 ORDER BY id DESC LIMIT $3";
const OLD: &str = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id < $1 ORDER BY id LIMIT $2)";
const SIZE: &str = "SELECT coalesce(sum(bytes), 0)::bigint FROM event WHERE of_change = $1";
const HELD: &str = "SELECT id, bytes, event::text FROM event WHERE of_change = $1 ORDER BY id";
const REMOVE: &str = "DELETE FROM event WHERE id = ANY($1)";
/// Time in microseconds for which uses are read once more: replicas write theirs some seconds after them, and their
/// clocks differ.
const OVERLAP: i64 = 60_000_000;

const USES: &str = "SELECT credential, at, addresses::text FROM last_use";
const RECENT_USES: &str = "SELECT credential, at, addresses::text FROM last_use WHERE at > $1";
// Of two replicas the later use counts.
const NOTE: &str = "INSERT INTO last_use (credential, at, addresses) \
    SELECT credential, at, addresses::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (credential, at, addresses) \
    ON CONFLICT (credential) DO UPDATE SET at = excluded.at, addresses = excluded.addresses WHERE last_use.at <= excluded.at";
const FORGET: &str = "DELETE FROM last_use WHERE credential = ANY($1)";

/// Returns these events with the numbers after `last`, and the last number. Fails if one cannot be serialised.
pub(super) fn numbered(events: &[Event], mut last: u64) -> Result<(Vec<NumberedEvent>, u64), StoreError> {
    let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
    let mut numbered = Vec::with_capacity(events.len());
    for event in events {
        last = now.max(last + 1);
        numbered.push((last.cast_signed(), serde_json::to_string(event)?));
    }
    Ok((numbered, last))
}

/// Inserts events.
pub(super) async fn insert(client: &Client, events: &[NumberedEvent], of_change: bool) -> Result<u64, Error> {
    let (ids, texts): (Vec<i64>, Vec<&str>) = events.iter().map(|(id, text)| (*id, text.as_str())).unzip();
    let values = [(&ids as _, Type::INT8_ARRAY), (&texts as _, Type::TEXT_ARRAY), (&of_change as _, Type::BOOL)];
    client.execute_typed(INSERT, &values).await
}

impl FleetIdentities {
    /// Adds sums of what has no change of its own.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_events(&self, events: Vec<Event>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let (texts, _) = numbered(&events, 0)?;
        let note = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                let last = transaction.query_typed("SELECT event FROM fence FOR UPDATE", &[]).await?;
                let mut last: i64 = last.first().map_or(0, |row| row.get(0));
                let mut renumbered = Vec::with_capacity(texts.len());
                for (now, text) in texts {
                    last = now.max(last + 1);
                    renumbered.push((last, text));
                }
                transaction.execute_typed("UPDATE fence SET event = $1", &[(&last, Type::INT8)]).await?;
                let noted = insert(transaction.client(), &renumbered, false).await?;
                transaction.commit().await?;
                Ok(noted)
            })
        });
        self.database().run(note).await.map(drop)
    }

    /// Returns a part of the events. Reads all of them in the worst case.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or an event is damaged.
    pub async fn events(&self, query: EventQuery) -> Result<EventPart, StoreError> {
        let (mut first, mut last) = query.numbers(EventId(i64::MAX.cast_unsigned()));
        let mut part = EventPart::default();
        let statement = if query.ascending { ASCENDING } else { DESCENDING };
        while first <= last {
            let bounds = (first.cast_signed(), last.cast_signed());
            let read = work(move |client| {
                Box::pin(async move {
                    let values = [
                        (&bounds.0 as _, Type::INT8),
                        (&bounds.1 as _, Type::INT8),
                        (&EVENTS_PER_STEP as _, Type::INT8),
                    ];
                    client.query_typed(statement, &values).await
                })
            });
            let rows = self.database().run(read).await?;
            for row in &rows {
                let id = row.get::<_, i64>(0).cast_unsigned();
                if !part.add(EventId(id), serde_json::from_str(row.get(1))?, &query) {
                    return Ok(part);
                }
                if query.ascending { first = id + 1 } else { last = id.saturating_sub(1) }
            }
            if rows.len() < EVENTS_PER_STEP as usize {
                break;
            }
        }
        Ok(part)
    }

    /// Returns the event with this number; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or the event is damaged.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let Ok(id) = i64::try_from(id.0) else { return Ok(None) };
        let read =
            work(move |client| Box::pin(async move { client.query_typed_opt(EVENT, &[(&id, Type::INT8)]).await }));
        let row = self.database().run(read).await?;
        Ok(row.map(|row| serde_json::from_str(row.get(0))).transpose()?)
    }

    /// Removes events that are not to be kept: some of those that are too old, and all for which there is no space.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn prune_events(&self, retention: EventRetention) -> Result<PrunedEvents, StoreError> {
        let before = retention.before.map_or(0, |before| before.as_microsecond());
        let prune = work(move |client| {
            Box::pin(async move {
                client.execute_typed(OLD, &[(&before, Type::INT8), (&EVENTS_PER_STEP, Type::INT8)]).await
            })
        });
        let old = usize::try_from(self.database().run(prune).await?).unwrap_or(usize::MAX);
        let surplus_changes = self.remove_surplus(true, Holder::of_change, retention.max_change_bytes).await?;
        let surplus_sums = self.remove_surplus(false, Holder::of_sum, retention.max_sum_bytes).await?;
        Ok(PrunedEvents { old, surplus_changes, surplus_sums })
    }

    async fn remove_surplus(
        &self,
        of_change: bool,
        holder: fn(&Event) -> Holder,
        max_bytes: u64,
    ) -> Result<usize, StoreError> {
        let size = work(move |client| {
            Box::pin(async move { client.query_typed_one(SIZE, &[(&of_change, Type::BOOL)]).await })
        });
        if self.database().run(size).await?.get::<_, i64>(0).cast_unsigned() <= max_bytes {
            return Ok(0);
        }
        let read =
            work(move |client| Box::pin(async move { client.query_typed(HELD, &[(&of_change, Type::BOOL)]).await }));
        let held = |row: &Row| {
            let holder = serde_json::from_str(row.get(2)).map_or_else(|_| Holder::unknown(), |event| holder(&event));
            let bytes = row.get::<_, i32>(1).unsigned_abs().into();
            HeldEvent { id: EventId(row.get::<_, i64>(0).cast_unsigned()), holder, bytes }
        };
        let held = self.database().run(read).await?.iter().map(held).collect();
        // So that a full trail does not cost a removal at every write.
        let surplus = surplus(held, max_bytes - max_bytes / 20);
        let ids: Vec<i64> = surplus.iter().map(|event| event.id.0.cast_signed()).collect();
        let removed = ids.len();
        let remove = work(move |client| {
            Box::pin(async move { client.execute_typed(REMOVE, &[(&ids, Type::INT8_ARRAY)]).await })
        });
        self.database().run(remove).await?;
        Ok(removed)
    }

    /// Returns when and from where each credential was last used, on any replica.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn last_used(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        let read = work(|client| Box::pin(read_uses(client)));
        self.database().run(read).await?.iter().map(use_of).collect()
    }

    /// Returns the last uses on any replica since the last call, and those of a minute before.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn used_since_last_time(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        let since = self.uses_read.load(Ordering::Relaxed) - OVERLAP;
        let read =
            work(move |client| Box::pin(async move { client.query_typed(RECENT_USES, &[(&since, Type::INT8)]).await }));
        let rows = self.database().run(read).await?;
        let latest = rows.iter().map(|row| row.get::<_, i64>(1)).max();
        if let Some(latest) = latest {
            self.uses_read.fetch_max(latest, Ordering::Relaxed);
        }
        rows.iter().map(use_of).collect()
    }

    /// Records when and from where credentials were last used.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_last_used(&self, used: HashMap<CredentialId, LastUse>) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        // In one order, so that two replicas that write the same rows do not wait for one another.
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable_by_key(|(credential, _)| credential.bits());
        let ids: Vec<String> = used.iter().map(|(credential, _)| credential.to_string()).collect();
        let times: Vec<i64> = used.iter().map(|(_, last_use)| last_use.at.as_microsecond()).collect();
        let addresses = used.iter().map(|(_, last_use)| serde_json::to_string(&last_use.addresses));
        let addresses: Vec<String> = addresses.collect::<Result<_, _>>()?;
        let note = work(move |client| {
            Box::pin(async move {
                let values = [
                    (&ids as _, Type::TEXT_ARRAY),
                    (&times as _, Type::INT8_ARRAY),
                    (&addresses as _, Type::TEXT_ARRAY),
                ];
                client.execute_typed(NOTE, &values).await
            })
        });
        self.database().run(note).await.map(drop)
    }

    /// Deletes the last uses of these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_last_used(&self, credentials: Vec<CredentialId>) -> Result<(), StoreError> {
        if credentials.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = credentials.iter().map(CredentialId::to_string).collect();
        let forget = work(move |client| {
            Box::pin(async move { client.execute_typed(FORGET, &[(&ids, Type::TEXT_ARRAY)]).await })
        });
        self.database().run(forget).await.map(drop)
    }
}

async fn read_uses(client: &mut Client) -> Result<Vec<Row>, Error> {
    client.query_typed(USES, &[]).await
}

fn use_of(row: &Row) -> Result<(CredentialId, LastUse), StoreError> {
    let damaged = |what: &dyn std::fmt::Display| StoreError::Damaged(format!("a time of last use: {what}"));
    let credential = row.get::<_, &str>(0).parse().map_err(|error| damaged(&error))?;
    let at = Timestamp::from_microsecond(row.get(1)).map_err(|error| damaged(&error))?;
    Ok((credential, LastUse { at, addresses: serde_json::from_str(row.get(2))? }))
}
