//! Audit events in the database of a fleet: what is read, and removed for its age or for lack of space.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{IDLE_TIMEOUT, transaction_limits, work};
use super::events::{insert, numbered};
use super::identity::FleetIdentities;
use crate::domain::audit::Event;
use crate::domain::audit::query::{EventPart, EventQuery};
use crate::domain::audit::retention::{EventRetention, HeldEvent, Holder, PrunedEvents, surplus};
use crate::domain::id::EventId;
use crate::store::error::StoreError;

/// Maximum number of events that are read or removed in one step.
const EVENTS_PER_STEP: i64 = 500;

const EVENT: &str = "SELECT event::text FROM event WHERE id = $1";
const ASCENDING: &str = "SELECT id, event::text FROM event WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3";
const DESCENDING: &str = "SELECT id, event::text FROM event WHERE id >= $1 AND id <= $2 ORDER BY id DESC LIMIT $3";
const OLD: &str = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id < $1 ORDER BY id LIMIT $2)";
const SIZE: &str = "SELECT coalesce(sum(bytes), 0)::bigint FROM event WHERE of_change = $1";
const HELD: &str = "SELECT id, bytes, event::text FROM event WHERE of_change = $1 ORDER BY id";
const REMOVE: &str = "DELETE FROM event WHERE id = ANY($1)";

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
}
