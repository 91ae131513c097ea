//! The quotas of groups over all replicas.

use tokio_postgres::types::Type;

use super::CHOSEN_AT_ONCE;
use crate::domain::id::GroupId;
use crate::store::error::StoreError;
use crate::store::fleet::content::FleetContent;
use crate::store::fleet::database::{Value, work};
use crate::store::fleet::index::id_of;
use crate::store::fleet::jobs::Lease;

// In the order of objects that go from the store. What the group's pinned images name stays.
const SURPLUS: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned AND group_id = $1 \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest), \
    first AS (SELECT DISTINCT object.digest, object.size, media_type IS NOT NULL AS is_manifest, read_at::date AS day \
    FROM link JOIN object ON object.digest = link.digest WHERE link.group_id = $1 \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = link.digest) \
    ORDER BY is_manifest, day, size DESC, digest LIMIT $3), \
    candidate AS (SELECT digest, size, sum(size) OVER (ORDER BY is_manifest, day, size DESC, digest) AS total FROM first) \
    SELECT digest FROM candidate WHERE total - size < $2";
const REMOVE: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned AND group_id = $2 \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest) \
    DELETE FROM link WHERE group_id = $2 AND digest = ANY($1) \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = link.digest)";

impl FleetContent {
    /// Removes links of a group that holds this number of bytes, and may hold `max_bytes`, so that somewhat less stays.
    /// Links to content that its pinned images name stay. Returns the number of links that were removed.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn trim_group(
        &self,
        lease: &Lease,
        group: GroupId,
        held: u64,
        max_bytes: u64,
    ) -> Result<u64, StoreError> {
        if held <= max_bytes {
            return Ok(0);
        }
        let (group, surplus) = (id_of(group), (held - max_bytes + max_bytes / 50).cast_signed());
        let read = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 3] =
                    [(&group, Type::INT8), (&surplus, Type::INT8), (&CHOSEN_AT_ONCE, Type::INT8)];
                client.query_typed(SURPLUS, &values).await
            })
        });
        let rows = self.index.database().run_slowly(read).await?;
        self.steps(lease, REMOVE, rows.iter().map(|row| row.get(0)).collect(), &[group]).await
    }
}
