//! Removals from the index of a fleet, and pins.

use tokio_postgres::types::Type;

use super::content::FleetContent;
use super::content_events::{self, ContentEvent};
use super::database::{IDLE_TIMEOUT, Value, transaction_limits, work};
use super::index::{id_of, text_of};
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::images::ImageKey;

/// Maximum number of rows that are removed in one statement.
const ROWS_PER_STEP: i64 = 5_000;

const REMOVE_IMAGES: &str = "DELETE FROM image USING origin WHERE image.group_id = $1 AND image.origin = origin.id \
    AND origin.origin = $2 AND image.reference = ANY($3) RETURNING image.digest";
const REMOVE_EARLIER: &str = "DELETE FROM earlier USING origin WHERE earlier.group_id = $1 AND earlier.origin = origin.id \
    AND origin.origin = $2 AND earlier.reference = ANY($3) RETURNING earlier.digest";
// What the images name, at two levels at most, unless another image of the group names it, too.
pub(super) const REMOVE_LINKS: &str = "WITH RECURSIVE gone (digest) AS (SELECT unnest($3::bytea[]) \
    UNION SELECT name.named FROM gone JOIN name ON name.manifest = gone.digest), \
    naming (digest, manifest) AS (SELECT digest, digest FROM gone \
    UNION SELECT naming.digest, name.manifest FROM naming JOIN name ON name.named = naming.manifest) \
    DELETE FROM link USING gone, origin WHERE link.group_id = $1 AND link.origin = origin.id AND origin.origin = $2 \
    AND link.digest = gone.digest AND NOT EXISTS (SELECT FROM naming JOIN image ON image.digest = naming.manifest \
    WHERE naming.digest = gone.digest AND image.group_id = $1 AND image.origin = link.origin)";
const PURGE_IMAGES: &str =
    "DELETE FROM image WHERE ctid = ANY(ARRAY(SELECT ctid FROM image WHERE group_id = $1 LIMIT $2))";
const PURGE_EARLIER: &str =
    "DELETE FROM earlier WHERE ctid = ANY(ARRAY(SELECT ctid FROM earlier WHERE group_id = $1 LIMIT $2))";
const PURGE_LINKS: &str =
    "DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE group_id = $1 LIMIT $2))";
const PIN: &str = "UPDATE image SET pinned = $4 FROM origin \
    WHERE image.group_id = $1 AND image.origin = origin.id AND origin.origin = $2 AND image.reference = $3 AND image.pinned <> $4";

impl FleetContent {
    /// Removes images of a group for all replicas, with the links to what only they name. Returns the number of the
    /// event.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. Nothing was removed then, unless the connection was lost at the end.
    pub async fn remove_images(
        &self,
        group: GroupId,
        origin: &Origin,
        references: &[Reference],
    ) -> Result<i64, StoreError> {
        self.changes.flush().await?;
        let names: Vec<String> = references.iter().map(Reference::to_string).collect();
        let removed = ContentEvent::Removed { group, origin: origin.clone(), references: references.to_vec() };
        let (group, origin, events) = (id_of(group), text_of(origin)?, content_events::texts([removed])?);
        let replica = self.index.replica();
        // An image that was pulled by its digest before the fleet had a row of it.
        let digests = references.iter().filter_map(|reference| match reference {
            Reference::Digest(digest) => Some(digest.as_bytes().to_vec()),
            Reference::Tag(_) => None,
        });
        let mut digests: Vec<Vec<u8>> = digests.collect();
        let remove = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                content_events::take_turn(&transaction).await?;
                let values: [Value<'_>; 3] = [(&group, Type::INT8), (&origin, Type::TEXT), (&names, Type::TEXT_ARRAY)];
                for statement in [REMOVE_IMAGES, REMOVE_EARLIER] {
                    let removed = transaction.query_typed(statement, &values).await?;
                    digests.extend(removed.iter().map(|row| row.get(0)));
                }
                let values: [Value<'_>; 3] =
                    [(&group, Type::INT8), (&origin, Type::TEXT), (&digests, Type::BYTEA_ARRAY)];
                transaction.execute_typed(REMOVE_LINKS, &values).await?;
                let number = content_events::insert(&transaction, replica, &events).await?;
                transaction.commit().await?;
                Ok(number)
            })
        });
        self.index.database().run(remove).await
    }

    /// Removes all images and links of a group for all replicas, in steps. Returns the number of the event.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. Some may be removed then.
    pub async fn purge(&self, group: GroupId) -> Result<i64, StoreError> {
        self.changes.flush().await?;
        for statement in [PURGE_IMAGES, PURGE_EARLIER, PURGE_LINKS] {
            while self.purge_step(statement, id_of(group)).await? > 0 {}
        }
        let (events, replica) = (content_events::texts([ContentEvent::Purged(group)])?, self.index.replica());
        let note = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                let number = content_events::insert(&transaction, replica, &events).await?;
                transaction.commit().await?;
                Ok(number)
            })
        });
        self.index.database().run(note).await
    }

    async fn purge_step(&self, statement: &'static str, group: i64) -> Result<u64, StoreError> {
        let step = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 2] = [(&group, Type::INT8), (&ROWS_PER_STEP, Type::INT8)];
                let transaction = client.transaction().await?;
                content_events::take_turn(&transaction).await?;
                let rows = transaction.execute_typed(statement, &values).await?;
                transaction.commit().await?;
                Ok(rows)
            })
        });
        self.index.database().run(step).await
    }

    /// Records that an image is pinned, or is not any more, for all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn pin(&self, image: &ImageKey, pinned: bool) -> Result<(), StoreError> {
        self.changes.flush().await?;
        let (group, origin, reference) = (id_of(image.group), text_of(&image.origin)?, image.reference.to_string());
        let events = content_events::texts([ContentEvent::Pinned { image: image.clone(), pinned }])?;
        let replica = self.index.replica();
        let pin = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                content_events::take_turn(&transaction).await?;
                let values: [Value<'_>; 4] =
                    [(&group, Type::INT8), (&origin, Type::TEXT), (&reference, Type::TEXT), (&pinned, Type::BOOL)];
                if transaction.execute_typed(PIN, &values).await? > 0 {
                    content_events::insert(&transaction, replica, &events).await?;
                }
                transaction.commit().await
            })
        });
        self.index.database().run(pin).await
    }
}
