//! Removals from the index of a fleet, and pins.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::content::FleetContent;
use super::content_events::{self, ContentEvent};
use super::database::{IDLE_TIMEOUT, Value, transaction_limits, work};
use super::index::{id_of, text_of};
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::images::ImageKey;

/// Maximum number of rows that are removed in one statement.
const ROWS_PER_STEP: i64 = 5_000;

// With a number of days, only images that nobody has pulled for as long, and that are not pinned.
const REMOVE_IMAGES: &str = "DELETE FROM image USING origin WHERE image.group_id = $1 AND image.origin = origin.id \
    AND origin.origin = $2 AND image.reference = ANY($3) \
    AND ($4::int IS NULL OR NOT image.pinned AND image.pulled_at < now() - make_interval(days => $4)) \
    RETURNING image.digest, image.reference";
const REMOVE_EARLIER: &str = "DELETE FROM earlier USING origin WHERE earlier.group_id = $1 AND earlier.origin = origin.id \
    AND origin.origin = $2 AND earlier.reference = ANY($3) RETURNING earlier.digest";
// What the images name, at two levels at most, unless what is left of the group's images there names it, too: few rows,
// however many images of other groups and repositories name the same layers.
pub(super) const REMOVE_LINKS: &str = "WITH RECURSIVE gone (digest) AS (SELECT unnest($3::bytea[]) \
    UNION SELECT name.named FROM gone JOIN name ON name.manifest = gone.digest), \
    kept (digest) AS (SELECT image.digest FROM image JOIN origin ON image.origin = origin.id \
    WHERE image.group_id = $1 AND origin.origin = $2 \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest) \
    DELETE FROM link USING gone, origin WHERE link.group_id = $1 AND link.origin = origin.id AND origin.origin = $2 \
    AND link.digest = gone.digest AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = gone.digest)";
const PURGE_IMAGES: &str =
    "DELETE FROM image WHERE ctid = ANY(ARRAY(SELECT ctid FROM image WHERE group_id = $1 LIMIT $2))";
const PURGE_EARLIER: &str =
    "DELETE FROM earlier WHERE ctid = ANY(ARRAY(SELECT ctid FROM earlier WHERE group_id = $1 LIMIT $2))";
const PURGE_LINKS: &str =
    "DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE group_id = $1 LIMIT $2))";
const PIN: &str = "UPDATE image SET pinned = $4 FROM origin \
    WHERE image.group_id = $1 AND image.origin = origin.id AND origin.origin = $2 AND image.reference = $3 AND image.pinned <> $4";

/// A removal of images of one origin.
struct ImageRemoval {
    group: GroupId,
    origin: Origin,
    references: Vec<Reference>,
    /// The number of days for which nobody has pulled those that go; `None`: all go.
    unpulled_days: Option<i32>,
}

/// Images that were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedImages {
    /// The number of the event; 0 if there is none, because nothing was removed.
    pub event: i64,
    /// Their tags and digests.
    pub references: Vec<Reference>,
}

/// The statements of a purge: images before links, so that nothing is listed whose content is gone.
const PURGE: [&str; 3] = [PURGE_IMAGES, PURGE_EARLIER, PURGE_LINKS];

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
        let (origin, references) = (origin.clone(), references.to_vec());
        let removed = self.remove(ImageRemoval { group, origin, references, unpulled_days: None }).await?;
        Ok(removed.event)
    }

    /// Removes those of these images that are not pinned, and that nobody has pulled at any replica for this number of
    /// days, when it is done.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::remove_images`] does.
    pub async fn remove_unpulled(
        &self,
        group: GroupId,
        origin: &Origin,
        references: Vec<Reference>,
        days: u32,
    ) -> Result<RemovedImages, StoreError> {
        let unpulled_days = Some(i32::try_from(days).unwrap_or(i32::MAX));
        self.remove(ImageRemoval { group, origin: origin.clone(), references, unpulled_days }).await
    }

    async fn remove(&self, removal: ImageRemoval) -> Result<RemovedImages, StoreError> {
        self.changes.flush().await?;
        let origin = text_of(&removal.origin)?;
        let replica = self.index.replica();
        let remove = work(move |client| Box::pin(remove(client, replica, removal, origin)));
        self.index.database().run(remove).await
    }

    /// Removes all images and links of a group for all replicas, in steps. Returns the number of the event.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. Some may be removed then.
    pub async fn purge(&self, group: GroupId) -> Result<i64, StoreError> {
        self.changes.flush().await?;
        let (events, replica) = (content_events::texts([ContentEvent::Purged(group)])?, self.index.replica());
        let number = id_of(group);
        // The event is part of the first step: what others add from then on was granted after it, or is left out.
        let first = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                content_events::take_turn(&transaction).await?;
                for statement in PURGE {
                    let values: [Value<'_>; 2] = [(&number, Type::INT8), (&ROWS_PER_STEP, Type::INT8)];
                    transaction.execute_typed(statement, &values).await?;
                }
                let event = content_events::insert(&transaction, replica, &events).await?;
                transaction.commit().await?;
                Ok(event)
            })
        });
        let event = self.index.database().run(first).await?;
        for statement in PURGE {
            while self.purge_step(statement, number).await? > 0 {}
        }
        Ok(event)
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

/// Removes images, and the links to what only they name, in one transaction.
async fn remove(
    client: &mut Client,
    replica: ReplicaId,
    removal: ImageRemoval,
    origin: String,
) -> Result<RemovedImages, tokio_postgres::Error> {
    let ImageRemoval { group, references, unpulled_days, .. } = &removal;
    let transaction = client.transaction().await?;
    transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
    content_events::take_turn(&transaction).await?;
    let (group, names) = (id_of(*group), references.iter().map(Reference::to_string).collect::<Vec<_>>());
    let values: [Value<'_>; 4] =
        [(&group, Type::INT8), (&origin, Type::TEXT), (&names, Type::TEXT_ARRAY), (unpulled_days, Type::INT4)];
    let rows = transaction.query_typed(REMOVE_IMAGES, &values).await?;
    let is_removed = |name: &str| unpulled_days.is_none() || rows.iter().any(|row| row.get::<_, &str>(1) == name);
    let removed: Vec<Reference> =
        references.iter().zip(&names).filter(|(_, name)| is_removed(name)).map(|(one, _)| one.clone()).collect();
    if removed.is_empty() {
        return Ok(RemovedImages::default());
    }
    let names: Vec<&String> = names.iter().filter(|name| is_removed(name)).collect();
    let values: [Value<'_>; 3] = [(&group, Type::INT8), (&origin, Type::TEXT), (&names, Type::TEXT_ARRAY)];
    let earlier = transaction.query_typed(REMOVE_EARLIER, &values).await?;
    let mut digests: Vec<Vec<u8>> = rows.iter().chain(&earlier).map(|row| row.get(0)).collect();
    // An image that was pulled by its digest before the fleet had a row of it.
    digests.extend(removed.iter().filter_map(|reference| match reference {
        Reference::Digest(digest) => Some(digest.as_bytes().to_vec()),
        Reference::Tag(_) => None,
    }));
    let values: [Value<'_>; 3] = [(&group, Type::INT8), (&origin, Type::TEXT), (&digests, Type::BYTEA_ARRAY)];
    transaction.execute_typed(REMOVE_LINKS, &values).await?;
    let event = ContentEvent::Removed { group: removal.group, origin: removal.origin, references: removed.clone() };
    let event =
        content_events::insert(&transaction, replica, &content_events::texts([event]).unwrap_or_default()).await?;
    transaction.commit().await?;
    Ok(RemovedImages { event, references: removed })
}
