//! The index of a fleet: what upstream has served to groups, what tags stand for, and which object has which content.
//! A replica reads it where its own index lacks something, and adds to it what its own index gets.

pub(super) mod additions;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use self::additions::{Additions, add};
use super::content_events::{self, ContentEvent};
use super::database::{Database, IDLE_TIMEOUT, Value, transaction_limits, work};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, ReferenceError, Tag};
use crate::store::error::{FleetError, StoreError};
use crate::store::images::ImageKey;
use crate::store::link::{Link, TagEntry};

/// The index in the database. Cheap to clone.
#[derive(Clone)]
pub(super) struct FleetIndex {
    database: Database,
    /// This replica.
    replica: ReplicaId,
}

/// Knowledge of the fleet about a tag or a digest, for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetLookUp {
    /// The digest that was requested, or for which the tag stands.
    pub digest: Digest,
    /// The entry of the tag; `None` if a digest was requested.
    pub tag: Option<TagEntry>,
    /// The granted link of the group.
    pub link: Option<Link>,
    /// The digest for which the tag stood when the group last pulled it; `None` if it has not.
    pub pulled: Option<Digest>,
    /// True if the group has pinned the image.
    pub pinned: bool,
    /// The object with the content.
    pub object: Option<StoredObject>,
}

/// An object with verified content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its name below the prefix of the bucket.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The media type of a manifest; `None` for a blob.
    pub media_type: Option<String>,
}

/// The place of an image in the order of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePlace {
    group: i64,
    origin: i64,
    reference: String,
}

const BY_TAG: &str = "SELECT tag.digest, (extract(epoch FROM now() - tag.checked_at) * 1000)::bigint, tag.denied, \
    link.digest IS NOT NULL, link.size, image.digest, coalesce(image.pinned, false), object.name, object.size, object.media_type \
    FROM origin JOIN tag ON tag.origin = origin.id AND tag.tag = $3 \
    LEFT JOIN link ON link.digest = tag.digest AND link.group_id = $1 AND link.origin = origin.id \
    LEFT JOIN image ON image.group_id = $1 AND image.origin = origin.id AND image.reference = $3 \
    LEFT JOIN object ON object.digest = tag.digest AND object.doomed_at IS NULL \
    WHERE origin.origin = $2";
const BY_DIGEST: &str = "SELECT $3::bytea, NULL::bigint, false, link.digest IS NOT NULL, link.size, image.digest, \
    coalesce(image.pinned, false), object.name, object.size, object.media_type \
    FROM (SELECT) AS one LEFT JOIN origin ON origin.origin = $2 \
    LEFT JOIN link ON link.digest = $3 AND link.group_id = $1 AND link.origin = origin.id \
    LEFT JOIN image ON image.group_id = $1 AND image.origin = origin.id AND image.reference = $4 \
    LEFT JOIN object ON object.digest = $3 AND object.doomed_at IS NULL";
impl FleetIndex {
    /// Returns the index in this database, as this replica reads and changes it.
    pub(super) fn new(database: Database, replica: ReplicaId) -> Self {
        Self { database, replica }
    }

    /// Returns this replica.
    pub(super) fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Returns the database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Looks up a tag or a digest for a group; `None` for a tag that nobody has pulled.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond within 250 ms.
    pub(super) async fn look_up(
        &self,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
    ) -> Result<Option<FleetLookUp>, StoreError> {
        let (group, origin, name) = (id_of(group), text_of(origin)?, reference.to_string());
        let digest = if let Reference::Digest(digest) = reference { Some(digest.as_bytes().to_vec()) } else { None };
        let look_up = work(move |client| {
            Box::pin(async move {
                let first: [Value<'_>; 2] = [(&group, Type::INT8), (&origin, Type::TEXT)];
                match &digest {
                    None => {
                        client.query_typed_opt(BY_TAG, &[first[0].clone(), first[1].clone(), (&name, Type::TEXT)]).await
                    }
                    Some(digest) => {
                        let last: [Value<'_>; 2] = [(digest, Type::BYTEA), (&name, Type::TEXT)];
                        let [group, origin] = first;
                        let [digest, name] = last;
                        client.query_typed_opt(BY_DIGEST, &[group, origin, digest, name]).await
                    }
                }
            })
        });
        let found =
            timeout(deadlines::LOOK_UP, self.database.run(look_up)).await.unwrap_or_else(|_| Err(too_slow()))?;
        found.map(|row| look_up_of(&row)).transpose()
    }

    /// Adds to the index. An image that is new or has moved is an event for the other replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. Nothing was added then, unless the connection was lost at the end.
    pub(super) async fn add(&self, additions: Additions) -> Result<(), StoreError> {
        let replica = self.replica;
        let add = work(move |client| Box::pin(add(client, replica, additions)));
        self.database.run(add).await
    }

    /// Records that upstream refuses a tag now.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn deny_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        const DENY: &str = "UPDATE tag SET denied = true, denied_at = now() FROM origin \
            WHERE tag.origin = origin.id AND origin.origin = $1 AND tag.tag = $2 AND NOT denied";
        self.change_tag(DENY, origin, tag, ContentEvent::Denied { origin: origin.clone(), tag: tag.clone() }).await
    }

    /// Removes a tag that upstream does not have any more, with the images of it that are not pinned. The links to what
    /// it stood for go with those to what tags stood for before they moved: once nobody reads it.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn drop_tag(&self, origin: &Origin, tag: &Tag) -> Result<(), StoreError> {
        const DROP: &str = "WITH gone AS (DELETE FROM tag USING origin \
            WHERE tag.origin = origin.id AND origin.origin = $1 AND tag.tag = $2 RETURNING tag.origin, tag.tag), \
            images AS (DELETE FROM image USING gone \
            WHERE image.origin = gone.origin AND image.reference = gone.tag AND NOT image.pinned \
            RETURNING image.group_id, image.origin, image.reference, image.digest), \
            noted AS (INSERT INTO earlier (group_id, origin, reference, digest) \
            SELECT group_id, origin, reference, digest FROM images \
            ON CONFLICT (group_id, origin, reference, digest) DO UPDATE SET moved_at = now()) SELECT FROM gone";
        self.change_tag(DROP, origin, tag, ContentEvent::Gone { origin: origin.clone(), tag: tag.clone() }).await
    }

    /// Returns the images of all groups after a place in their order, at most this number.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub(super) async fn images_after(
        &self,
        after: ImagePlace,
        limit: i64,
    ) -> Result<Vec<(ImagePlace, ImageKey)>, StoreError> {
        const IMAGES: &str = "SELECT image.group_id, image.origin, image.reference, origin.origin \
            FROM image JOIN origin ON image.origin = origin.id \
            WHERE (image.group_id, image.origin, image.reference) > ($1, $2, $3) \
            ORDER BY image.group_id, image.origin, image.reference LIMIT $4";
        let read = work(move |client| {
            Box::pin(async move {
                let ImagePlace { group, origin, reference } = &after;
                let values: [Value<'_>; 4] =
                    [(group, Type::INT8), (origin, Type::INT8), (reference, Type::TEXT), (&limit, Type::INT8)];
                client.query_typed(IMAGES, &values).await
            })
        });
        let image = |row: &Row| {
            let place = ImagePlace { group: row.get(0), origin: row.get(1), reference: row.get(2) };
            let damaged = |error: ReferenceError| StoreError::Damaged(error.to_string());
            let key = ImageKey {
                group: GroupId(place.group.cast_unsigned()),
                origin: serde_json::from_str(row.get(3))?,
                reference: place.reference.parse().map_err(damaged)?,
            };
            Ok((place, key))
        };
        self.database.run(read).await?.iter().map(image).collect()
    }

    async fn change_tag(
        &self,
        statement: &'static str,
        origin: &Origin,
        tag: &Tag,
        event: ContentEvent,
    ) -> Result<(), StoreError> {
        let (origin, tag, replica) = (text_of(origin)?, tag.to_string(), self.replica);
        let events = content_events::texts([event])?;
        let change = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                content_events::take_turn(&transaction).await?;
                let changed =
                    transaction.execute_typed(statement, &[(&origin, Type::TEXT), (&tag, Type::TEXT)]).await?;
                if changed > 0 {
                    content_events::insert(&transaction, replica, &events).await?;
                }
                transaction.commit().await
            })
        });
        self.database.run(change).await
    }
}

/// Returns an origin as the database has it.
pub(super) fn text_of(origin: &Origin) -> Result<String, StoreError> {
    Ok(serde_json::to_string(origin)?)
}

/// Returns the id of a group as the database has it.
pub(super) fn id_of(group: GroupId) -> i64 {
    group.0.cast_signed()
}

/// Returns the digest of a column.
pub(super) fn digest_of(bytes: &[u8]) -> Result<Digest, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("a digest has another length".to_owned()))?;
    Ok(Digest::from_bytes(bytes))
}

fn look_up_of(row: &Row) -> Result<FleetLookUp, StoreError> {
    let digest = digest_of(row.get(0))?;
    // The age is by the clock of the database, so that clocks of replicas may differ.
    let tag = row.get::<_, Option<i64>>(1).map(|age| {
        let checked_at = Timestamp::now() - SignedDuration::from_millis(age.max(0));
        TagEntry { digest, checked_at, denied: row.get(2) }
    });
    let link = row.get::<_, bool>(3).then(|| Link::granted(row.get::<_, Option<i64>>(4).map(i64::cast_unsigned)));
    let pulled = row.get::<_, Option<&[u8]>>(5).map(digest_of).transpose()?;
    let object = row.get::<_, Option<String>>(7).map(|name| StoredObject {
        name,
        size: row.get::<_, i64>(8).cast_unsigned(),
        media_type: row.get(9),
    });
    Ok(FleetLookUp { digest, tag, link, pulled, pinned: row.get(6), object })
}

fn too_slow() -> StoreError {
    FleetError::Unreachable("it does not respond in time".to_owned()).into()
}
