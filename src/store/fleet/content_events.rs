//! Events of cached content: what each replica must do to its own index after another one has changed that of the
//! fleet. Their numbers have no gaps, so that a replica misses none.

use serde::{Deserialize, Serialize};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::database::{Database, Value, work};
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::error::StoreError;
use crate::store::images::ImageKey;

/// A change of the index of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentEvent {
    /// A group has an image that is new, or whose tag has moved.
    Image(ImageKey),
    /// Upstream refuses a tag.
    Denied {
        /// The origin of the tag.
        origin: Origin,
        /// The tag.
        tag: Tag,
    },
    /// Upstream does not have a tag any more.
    Gone {
        /// The origin of the tag.
        origin: Origin,
        /// The tag.
        tag: Tag,
    },
    /// Images were removed from a group.
    Removed {
        /// The group.
        group: GroupId,
        /// Their origin.
        origin: Origin,
        /// Their tags and digests.
        references: Vec<Reference>,
    },
    /// All that a group has cached was removed.
    Purged(GroupId),
    /// An image was pinned, or is not any more.
    Pinned {
        /// The image.
        image: ImageKey,
        /// True if it is pinned.
        pinned: bool,
    },
}

impl ContentEvent {
    /// Returns true if somebody has removed something, rather than upstream.
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Removed { .. } | Self::Purged(_))
    }
}

/// Events in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentEvents {
    /// Id of the database.
    pub fleet: String,
    /// The last one.
    pub last: Mark,
    /// True if there are more after it.
    pub has_more: bool,
    /// The events after the known one; `None`: some of them are not kept any more, or the database was restored to an
    /// earlier state.
    pub events: Option<Vec<NumberedContentEvent>>,
}

/// A place in the order of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of the event; 0: before the first.
    pub number: i64,
    /// Its id; empty for none.
    pub id: String,
}

/// The events that a replica had carried out when it read its own index. What was removed by others does not come back
/// by what it read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Seen {
    /// All events up to this one.
    pub(super) number: i64,
    /// Further events of the replica itself, which it has carried out before its turn to follow them.
    pub(super) done: Vec<i64>,
}

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedContentEvent {
    /// The number.
    pub number: i64,
    /// True if this replica has made it.
    pub is_own: bool,
    /// The event; `None`: one of a later release.
    pub event: Option<ContentEvent>,
}

/// Maximum number of events that are read at once.
const EVENTS_AT_ONCE: i64 = 1_000;
/// Number of seconds for which events are kept.
const KEPT_SECS: f64 = 7.0 * 24.0 * 3600.0;

const ADVANCE: &str = "UPDATE content_head SET number = number + $1 RETURNING number";
const INSERT: &str = "INSERT INTO content_event (number, replica, event) SELECT number, $3, event::json \
    FROM unnest($1::bigint[], $2::text[]) AS new (number, event)";
// One statement, so that all of it is of one moment.
const EVENTS: &str = "SELECT head.id, head.number, known.id, event.number, event.event::text, event.replica, event.id \
    FROM content_head AS head LEFT JOIN content_event AS known ON known.number = $1 \
    LEFT JOIN LATERAL (SELECT number, replica, event, id FROM content_event WHERE content_event.number > $1 \
    ORDER BY number LIMIT $2) AS event ON true ORDER BY event.number";
// The last one stays, by which a replica recognises the state of the database.
const FORGET: &str = "DELETE FROM content_event WHERE at < now() - make_interval(secs => $1) \
    AND number < (SELECT number FROM content_head)";
const HEAD: &str = "SELECT number FROM content_head FOR UPDATE";
const UNSEEN: &str = "SELECT event::text, replica = $2 FROM content_event WHERE number > $1 AND number <> ALL($3)";

impl Seen {
    /// Returns the events that both have carried out.
    pub(super) fn and(&self, other: &Self) -> Self {
        let is_in_both = |number: &&i64| self.has(**number) && other.has(**number);
        let done = self.done.iter().chain(&other.done).filter(is_in_both).copied().collect();
        Self { number: self.number.min(other.number), done }
    }

    fn has(&self, number: i64) -> bool {
        number <= self.number || self.done.contains(&number)
    }
}

/// Waits for the turn to change links, images and tags: the first statement of each transaction that does.
pub(super) async fn take_turn(transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    transaction.query_typed(HEAD, &[]).await.map(drop)
}

/// Returns the events that were not carried out, within a turn. Those of later releases are left out.
pub(super) async fn unseen(
    transaction: &Transaction<'_>,
    replica: ReplicaId,
    seen: &Seen,
) -> Result<Vec<ContentEvent>, tokio_postgres::Error> {
    let replica = replica.to_string();
    let values: [Value<'_>; 3] = [(&seen.number, Type::INT8), (&replica, Type::TEXT), (&seen.done, Type::INT8_ARRAY)];
    let rows = transaction.query_typed(UNSEEN, &values).await?;
    let events = rows.iter().filter_map(|row| Some((serde_json::from_str(row.get(0)).ok()?, row.get(1))));
    // The replica adds what it has pulled, and tells what upstream does not have any more, in the order of both.
    let matters = |(event, is_own): &(ContentEvent, bool)| !is_own || event.is_removal();
    Ok(events.filter(matters).map(|(event, _)| event).collect())
}

/// Returns events as the database has them.
pub(super) fn texts(events: impl IntoIterator<Item = ContentEvent>) -> Result<Vec<String>, StoreError> {
    Ok(events.into_iter().map(|event| serde_json::to_string(&event)).collect::<Result<_, _>>()?)
}

/// Adds events at the end of a transaction. Returns the number of the last one; 0 if there are none.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    replica: ReplicaId,
    events: &[String],
) -> Result<i64, tokio_postgres::Error> {
    if events.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let row = transaction.query_typed_one(ADVANCE, &[(&count, Type::INT8)]).await?;
    let last: i64 = row.get(0);
    let numbers: Vec<i64> = (last - count + 1..=last).collect();
    let replica = replica.to_string();
    let values: [Value<'_>; 3] = [(&numbers, Type::INT8_ARRAY), (&events, Type::TEXT_ARRAY), (&replica, Type::TEXT)];
    transaction.execute_typed(INSERT, &values).await?;
    Ok(last)
}

/// Returns the events after this place.
///
/// # Errors
///
/// Fails if the database cannot be reached.
pub(super) async fn after(database: &Database, replica: ReplicaId, known: &Mark) -> Result<ContentEvents, StoreError> {
    let number = known.number;
    let read = work(move |client| {
        Box::pin(
            async move { client.query_typed(EVENTS, &[(&number, Type::INT8), (&EVENTS_AT_ONCE, Type::INT8)]).await },
        )
    });
    let (rows, own) = (database.run(read).await?, replica.to_string());
    let first = rows.first().ok_or_else(|| StoreError::Damaged("the row of the last event is gone".to_owned()))?;
    let (fleet, newest): (String, i64) = (first.get(0), first.get(1));
    let (mut last, mut events) = (known.clone(), Vec::new());
    // Of a database that was restored to an earlier state, another event has the number of the known one, or none has.
    let mut is_complete = number == 0 || first.get::<_, Option<&str>>(2) == Some(known.id.as_str());
    for row in &rows {
        let Some(number) = row.get::<_, Option<i64>>(3) else { break };
        is_complete &= number == last.number + 1;
        last = Mark { number, id: row.get(6) };
        let event = serde_json::from_str(row.get(4)).ok();
        events.push(NumberedContentEvent { number, is_own: row.get::<_, &str>(5) == own, event });
    }
    let has_more = last.number < newest && rows.len() as i64 == EVENTS_AT_ONCE;
    is_complete &= has_more || last.number == newest;
    Ok(ContentEvents { fleet, last, has_more, events: Some(events).filter(|_| is_complete) })
}

/// Returns the id of the database and the last event, from which a replica with an empty index goes on.
///
/// # Errors
///
/// Fails if the database cannot be reached.
pub(super) async fn newest(database: &Database) -> Result<(String, Mark), StoreError> {
    const NEWEST: &str = "SELECT head.id, head.number, event.id FROM content_head AS head \
        LEFT JOIN content_event AS event ON event.number = head.number";
    let read = work(|client| Box::pin(async move { client.query_typed_one(NEWEST, &[]).await }));
    let row = database.run(read).await?;
    Ok((row.get(0), Mark { number: row.get(1), id: row.get::<_, Option<String>>(2).unwrap_or_default() }))
}

/// Returns the id of the database, and the event with this number; 0: before the first.
///
/// # Errors
///
/// Fails if the database cannot be reached.
pub(super) async fn mark_of(database: &Database, number: i64) -> Result<(String, Mark), StoreError> {
    const MARK: &str = "SELECT head.id, event.id FROM content_head AS head \
        LEFT JOIN content_event AS event ON event.number = $1";
    let read =
        work(move |client| Box::pin(async move { client.query_typed_one(MARK, &[(&number, Type::INT8)]).await }));
    let row = database.run(read).await?;
    Ok((row.get(0), Mark { number, id: row.get::<_, Option<String>>(1).unwrap_or_default() }))
}

/// Removes events that are so old that no replica needs them.
///
/// # Errors
///
/// Fails if the database cannot be reached.
pub(super) async fn forget_old(database: &Database) -> Result<(), StoreError> {
    let forget =
        work(|client| Box::pin(async move { client.execute_typed(FORGET, &[(&KEPT_SECS, Type::FLOAT8)]).await }));
    database.run(forget).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_seen_what_each_has_seen() {
        let seen = |number, done: &[i64]| Seen { number, done: done.to_vec() };
        for (one, other, both) in [
            (seen(5, &[]), seen(3, &[5]), seen(3, &[5])),
            (seen(3, &[5, 6]), seen(3, &[6]), seen(3, &[6, 6])),
            (seen(7, &[]), seen(2, &[]), seen(2, &[])),
        ] {
            assert_eq!((one.and(&other), other.and(&one).number), (both.clone(), both.number));
        }
    }
}
