//! Removal of links to what no image of the group names: layers that arrived after their image was removed.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{EXAMINED_AT_ONCE, Values};
use crate::store::error::StoreError;
use crate::store::fleet::content::FleetContent;
use crate::store::fleet::database::{Value, work};
use crate::store::fleet::jobs::Lease;

/// The place in the order of links at which the next search for those that no image names begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPlace {
    digest: Vec<u8>,
    group: i64,
    origin: i64,
}

/// Maximum number of links that are removed in one step, each of which is examined again.
const REMOVED_AT_ONCE: usize = 1_000;

// The time of a read is recorded once a day. An image may be added some time after the links to its layers are, and what
// is not in the object store yet was read not long ago.
macro_rules! is_unnamed {
    () => {
        "NOT EXISTS (WITH RECURSIVE above (digest) AS (SELECT link.digest \
            UNION SELECT name.manifest FROM above JOIN name ON name.named = above.digest) SELECT FROM above \
            WHERE EXISTS (SELECT FROM image WHERE image.digest = above.digest AND image.group_id = link.group_id \
                AND image.origin = link.origin) \
            OR EXISTS (SELECT FROM earlier WHERE earlier.digest = above.digest AND earlier.group_id = link.group_id \
                AND earlier.origin = link.origin)) \
        AND (EXISTS (SELECT FROM object WHERE object.digest = link.digest AND read_at < now() - interval '2 days' \
                AND stored_at < now() - interval '2 days') \
            OR EXISTS (SELECT FROM evicted WHERE evicted.digest = link.digest AND at < now() - interval '2 days'))"
    };
}
const EXAMINE: &str = concat!(
    "SELECT digest, group_id, origin, ",
    is_unnamed!(),
    " FROM (SELECT digest, group_id, origin FROM link WHERE (digest, group_id, origin) > ($1, $2, $3) \
        ORDER BY digest, group_id, origin LIMIT $4) AS link ORDER BY digest, group_id, origin"
);
const REMOVE: &str = concat!(
    "DELETE FROM link USING unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS found (digest, group_id, origin) \
        WHERE link.digest = found.digest AND link.group_id = found.group_id AND link.origin = found.origin AND ",
    is_unnamed!()
);

impl FleetContent {
    /// Removes links to content that no image of the group names, or has named before, and that nobody has read for two
    /// days. Examines some links from `place` on, and returns the number of those that were removed.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn remove_unnamed_links(&self, lease: &Lease, place: &mut LinkPlace) -> Result<u64, StoreError> {
        let from = place.clone();
        let read = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 4] = [
                    (&from.digest, Type::BYTEA),
                    (&from.group, Type::INT8),
                    (&from.origin, Type::INT8),
                    (&EXAMINED_AT_ONCE, Type::INT8),
                ];
                client.query_typed(EXAMINE, &values).await
            })
        });
        let rows = self.index.database().run_slowly(read).await?;
        let unnamed: Vec<LinkPlace> = rows.iter().filter(|row| row.get(3)).map(place_of).collect();
        let mut removed = 0;
        for some in unnamed.chunks(REMOVED_AT_ONCE) {
            let digests: Vec<Vec<u8>> = some.iter().map(|link| link.digest.clone()).collect();
            let groups: Vec<i64> = some.iter().map(|link| link.group).collect();
            let origins: Vec<i64> = some.iter().map(|link| link.origin).collect();
            let values: Values = vec![
                (Box::new(digests), Type::BYTEA_ARRAY),
                (Box::new(groups), Type::INT8_ARRAY),
                (Box::new(origins), Type::INT8_ARRAY),
            ];
            removed += self.step(lease, REMOVE, values).await?;
        }
        let is_end = (rows.len() as u64) < EXAMINED_AT_ONCE.cast_unsigned();
        *place = rows.last().filter(|_| !is_end).map(place_of).unwrap_or_default();
        Ok(removed)
    }
}

fn place_of(row: &Row) -> LinkPlace {
    LinkPlace { digest: row.get(0), group: row.get(1), origin: row.get(2) }
}
