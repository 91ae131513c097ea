//! Audit events as rows of the database of a fleet. They have numbers of one sequence, assigned under the lock of
//! `fence`, so that a reader who has seen one never misses an earlier one.

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::domain::audit::Event;
use crate::store::error::StoreError;

/// An event with its number, as text.
pub(super) type NumberedEvent = (i64, String);

const INSERT: &str = "INSERT INTO event (id, of_change, bytes, event) \
    SELECT id, $3, length(event), event::json FROM unnest($1::bigint[], $2::text[]) AS new (id, event)";

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
