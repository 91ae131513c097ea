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

/// Events in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentEvents {
    /// Id of the database.
    pub fleet: String,
    /// The number of the last one.
    pub last: i64,
    /// The events of other replicas after the known one; `None`: some of them are not kept any more.
    pub events: Option<Vec<ContentEvent>>,
}

/// Maximum number of events that are read at once.
const EVENTS_AT_ONCE: i64 = 1_000;
/// Number of seconds for which events are kept.
const KEPT_SECS: f64 = 7.0 * 24.0 * 3600.0;

const ADVANCE: &str = "UPDATE content_head SET number = number + $1 RETURNING number";
const INSERT: &str = "INSERT INTO content_event (number, replica, event) SELECT number, $3, event::json \
    FROM unnest($1::bigint[], $2::text[]) AS new (number, event)";
// One statement, so that all of it is of one moment.
const EVENTS: &str = "SELECT head.id, head.number, event.number, event.event::text, event.replica FROM content_head AS head \
    LEFT JOIN LATERAL (SELECT number, replica, event FROM content_event WHERE content_event.number > $1 ORDER BY number LIMIT $2) AS event \
    ON true ORDER BY event.number";
const FORGET: &str = "DELETE FROM content_event WHERE at < now() - make_interval(secs => $1)";

/// Returns events as the database has them.
pub(super) fn texts(events: impl IntoIterator<Item = ContentEvent>) -> Result<Vec<String>, StoreError> {
    Ok(events.into_iter().map(|event| serde_json::to_string(&event)).collect::<Result<_, _>>()?)
}

/// Adds events at the end of a transaction: their numbers are locked until it is over.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    replica: ReplicaId,
    events: &[String],
) -> Result<(), tokio_postgres::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let row = transaction.query_typed_one(ADVANCE, &[(&count, Type::INT8)]).await?;
    let last: i64 = row.get(0);
    let numbers: Vec<i64> = (last - count + 1..=last).collect();
    let replica = replica.to_string();
    let values: [Value<'_>; 3] = [(&numbers, Type::INT8_ARRAY), (&events, Type::TEXT_ARRAY), (&replica, Type::TEXT)];
    transaction.execute_typed(INSERT, &values).await.map(drop)
}

/// Returns the events of other replicas after this number.
///
/// # Errors
///
/// Fails if the database cannot be reached, or an event cannot be read.
pub(super) async fn after(database: &Database, replica: ReplicaId, known: i64) -> Result<ContentEvents, StoreError> {
    let read = work(move |client| {
        Box::pin(
            async move { client.query_typed(EVENTS, &[(&known, Type::INT8), (&EVENTS_AT_ONCE, Type::INT8)]).await },
        )
    });
    let (rows, own) = (database.run(read).await?, replica.to_string());
    let first = rows.first().ok_or_else(|| StoreError::Damaged("the row of the last event is gone".to_owned()))?;
    let (fleet, newest): (String, i64) = (first.get(0), first.get(1));
    let (mut last, mut events) = (known, Some(Vec::new()));
    for row in &rows {
        let Some(number) = row.get::<_, Option<i64>>(2) else { break };
        if number != last + 1 {
            events = None;
            last = newest;
            break;
        }
        last = number;
        // What this replica has changed is in its own index already, and may have changed since.
        if let Some(events) = &mut events
            && row.get::<_, &str>(4) != own
        {
            events.push(serde_json::from_str(row.get(3))?);
        }
    }
    // Without a single one left, or with a smaller number after a restore, something was missed.
    let is_complete = last == newest || rows.len() as i64 == EVENTS_AT_ONCE;
    Ok(ContentEvents { fleet, last: if is_complete { last } else { newest }, events: events.filter(|_| is_complete) })
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
