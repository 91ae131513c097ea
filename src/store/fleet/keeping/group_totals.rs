//! Totals of what groups have cached at all replicas together. Counting reads all links, so that one replica does it,
//! and all read what it has written.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Values;
use crate::domain::id::GroupId;
use crate::store::error::StoreError;
use crate::store::fleet::content::FleetContent;
use crate::store::fleet::database::work;
use crate::store::fleet::jobs::Lease;
use crate::store::images::GroupTotals;

const COUNT: &str = "SELECT coalesce(held.group_id, images.group_id), coalesce(bytes, 0), coalesce(blobs, 0), coalesce(manifests, 0), \
    coalesce(images.count, 0) FROM (SELECT group_id, sum(size)::bigint AS bytes, \
    count(*) FILTER (WHERE media_type IS NULL) AS blobs, count(media_type) AS manifests \
    FROM (SELECT DISTINCT group_id, digest FROM link) AS one JOIN object ON object.digest = one.digest GROUP BY group_id) AS held \
    FULL JOIN (SELECT group_id, count(*) AS count FROM image GROUP BY group_id) AS images ON images.group_id = held.group_id";
const WRITE: &str = "WITH gone AS (DELETE FROM group_total WHERE group_id <> ALL($1)) \
    INSERT INTO group_total (group_id, bytes, blobs, manifests, images) \
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
    ON CONFLICT (group_id) DO UPDATE SET bytes = excluded.bytes, blobs = excluded.blobs, \
    manifests = excluded.manifests, images = excluded.images";
const READ: &str = "SELECT group_id, bytes, blobs, manifests, images FROM group_total";

impl FleetContent {
    /// Counts what each group may read of the objects, and its images, for all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn count_totals(&self, lease: &Lease) -> Result<HashMap<GroupId, GroupTotals>, StoreError> {
        let count = work(|client| Box::pin(async move { client.query_typed(COUNT, &[]).await }));
        let rows = self.index.database().run_slowly(count).await?;
        let column = |number: usize| rows.iter().map(|row| row.get(number)).collect::<Vec<i64>>();
        let values: Values = (0..5).map(|number| (Box::new(column(number)) as _, Type::INT8_ARRAY)).collect();
        self.step(lease, WRITE, values).await?;
        Ok(totals_of(&rows))
    }

    /// Returns the totals of groups as they were counted last.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(in crate::store::fleet) async fn counted_totals(&self) -> Result<HashMap<GroupId, GroupTotals>, StoreError> {
        let read = work(|client| Box::pin(async move { client.query_typed(READ, &[]).await }));
        Ok(totals_of(&self.index.database().run(read).await?))
    }
}

fn totals_of(rows: &[Row]) -> HashMap<GroupId, GroupTotals> {
    let number = |row: &Row, column: usize| row.get::<_, i64>(column).cast_unsigned();
    let totals = rows.iter().map(|row| {
        let (bytes, blobs, manifests) = (number(row, 1), number(row, 2), number(row, 3));
        (GroupId(number(row, 0)), GroupTotals { bytes, blobs, manifests, images: number(row, 4) })
    });
    totals.collect()
}
