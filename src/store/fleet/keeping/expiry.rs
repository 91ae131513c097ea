//! Removal from the index because of age: images that nobody pulls, and what deleted groups have left.

use tokio_postgres::types::Type;

use super::Values;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::fleet::content::FleetContent;
use crate::store::fleet::database::work;
use crate::store::fleet::index::id_of;
use crate::store::fleet::jobs::Lease;
use crate::store::fleet::removal::REMOVE_LINKS;

// Ids are not assigned twice, so that a group that is gone stays so. The groups are found one by one in the index of
// links, however many links each has.
const GONE_GROUPS: &str = "WITH RECURSIVE known (id) AS ((SELECT min(group_id) FROM link) \
    UNION ALL SELECT (SELECT min(group_id) FROM link WHERE group_id > known.id) FROM known WHERE known.id IS NOT NULL) \
    SELECT id FROM (SELECT id FROM known UNION SELECT group_id FROM image UNION SELECT group_id FROM earlier) AS every \
    WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM record WHERE key = 'group/' || every.id)";
const LINKS_OF_GONE: &str =
    "DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE group_id = ANY($1) LIMIT 5000))";
const IMAGES_OF_GONE: &str =
    "DELETE FROM image WHERE ctid = ANY(ARRAY(SELECT ctid FROM image WHERE group_id = ANY($1) LIMIT 5000))";
const EARLIER_OF_GONE: &str =
    "DELETE FROM earlier WHERE ctid = ANY(ARRAY(SELECT ctid FROM earlier WHERE group_id = ANY($1) LIMIT 5000))";
// The time of a read is recorded once a day.
const UNREAD_EARLIER: &str = "SELECT earlier.group_id, origin.origin, array_agg(earlier.digest) FROM earlier \
    JOIN origin ON origin.id = earlier.origin WHERE earlier.moved_at < now() - interval '1 day' \
    AND NOT EXISTS (SELECT FROM object WHERE object.digest = earlier.digest AND object.read_at > now() - interval '2 days') \
    GROUP BY earlier.group_id, origin.origin LIMIT 1000";
const REMOVE_EARLIER: &str = "DELETE FROM earlier USING origin WHERE earlier.group_id = $1 AND earlier.origin = origin.id \
    AND origin.origin = $2 AND earlier.digest = ANY($3)";
const OLD_TAGS: &str = "DELETE FROM tag WHERE ctid = ANY(ARRAY(SELECT ctid FROM tag \
    WHERE checked_at < now() - interval '90 days' \
    AND NOT EXISTS (SELECT FROM image WHERE image.origin = tag.origin AND image.reference = tag.tag) LIMIT 5000))";
const UNPULLED: &str = "SELECT origin.origin, image.reference FROM image JOIN origin ON image.origin = origin.id \
    WHERE image.group_id = $1 AND NOT image.pinned AND image.pulled_at < now() - make_interval(days => $2) \
    ORDER BY image.origin LIMIT 256";
impl FleetContent {
    /// Removes links and images of groups that do not exist any more.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn forget_groups(&self, lease: &Lease) -> Result<(), StoreError> {
        let read = work(|client| Box::pin(async move { client.query_typed(GONE_GROUPS, &[]).await }));
        let rows = self.index.database().run_slowly(read).await?;
        let groups: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        if groups.is_empty() {
            return Ok(());
        }
        for statement in [LINKS_OF_GONE, IMAGES_OF_GONE, EARLIER_OF_GONE] {
            while self.step(lease, statement, vec![(Box::new(groups.clone()), Type::INT8_ARRAY)]).await? > 0 {}
        }
        Ok(())
    }

    /// Removes the links to what the tags of images stood for before they moved, once nobody reads it, and tags that no
    /// group has pulled for long.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn forget_earlier(&self, lease: &Lease) -> Result<(), StoreError> {
        let read = work(|client| Box::pin(async move { client.query_typed(UNREAD_EARLIER, &[]).await }));
        for row in self.index.database().run_slowly(read).await? {
            let (group, origin, digests): (i64, String, Vec<Vec<u8>>) = (row.get(0), row.get(1), row.get(2));
            for statement in [REMOVE_LINKS, REMOVE_EARLIER] {
                let values: Values = vec![
                    (Box::new(group), Type::INT8),
                    (Box::new(origin.clone()), Type::TEXT),
                    (Box::new(digests.clone()), Type::BYTEA_ARRAY),
                ];
                self.step(lease, statement, values).await?;
            }
        }
        self.step(lease, OLD_TAGS, Vec::new()).await.map(drop)
    }

    /// Returns images of a group that nobody has pulled at any replica for this number of days, by origin, at most 256: as
    /// many as are removed in one statement.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn unpulled(&self, group: GroupId, days: u32) -> Result<Vec<(Origin, Vec<Reference>)>, StoreError> {
        let (group, days) = (id_of(group), i32::try_from(days).unwrap_or(i32::MAX));
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(UNPULLED, &[(&group, Type::INT8), (&days, Type::INT4)]).await })
        });
        let mut found: Vec<(Origin, Vec<Reference>)> = Vec::new();
        for row in self.index.database().run(read).await? {
            let origin: Origin = serde_json::from_str(row.get(0))?;
            let reference: &str = row.get(1);
            let reference = reference.parse().map_err(|_| StoreError::Damaged(format!("'{reference}' is no tag")))?;
            match found.last_mut().filter(|(last, _)| *last == origin) {
                Some((_, references)) => references.push(reference),
                None => found.push((origin, vec![reference])),
            }
        }
        Ok(found)
    }
}
