//! The care of the object store, by one replica at a time: which objects go, because no group has a link to their
//! content or because there are too many bytes, and what is left behind without a name.
//!
//! An object goes in two steps. It is doomed first: from then on no lookup finds it, and a replica that needs its
//! content again uploads it under another name. It is deleted ten minutes later, when nobody reads it any more.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use super::content::FleetContent;
use super::content_events;
use super::database::{Value, work};
use super::index::{FleetIndex, digest_of, id_of, text_of};
use super::jobs::Lease;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::images::{ImageKey, Pulls};

/// Result of a run: what was removed from the object store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Number of objects that were doomed because no group has a link to their content.
    pub unlinked: u64,
    /// Number of objects that were doomed because there were too many bytes.
    pub evicted: u64,
    /// Number of objects that were deleted.
    pub deleted: u64,
    /// Number of bytes of the objects that stay.
    pub bytes: u64,
}

/// Values of a statement, with their types.
type Values = Vec<(Box<dyn ToSql + Sync + Send>, Type)>;

/// Maximum number of objects that are deleted in one run.
const DELETED_AT_ONCE: i64 = 500;

// An object may be older than the link to it: both are written in the background.
const DOOM_UNLINKED: &str = "UPDATE object SET doomed_at = now() WHERE digest IN (SELECT digest FROM object \
    WHERE doomed_at IS NULL AND stored_at < now() - interval '1 hour' \
    AND NOT EXISTS (SELECT FROM link WHERE link.digest = object.digest) LIMIT 5000)";
const BYTES: &str = "SELECT coalesce(sum(size), 0)::bigint FROM object WHERE doomed_at IS NULL";
// Blobs before manifests, which are small and name the blobs; then what was not read for the longest time; of that the
// largest, so that few have to be fetched again. What pinned images name stays.
const DOOM_SURPLUS: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest), \
    candidate AS (SELECT digest, size, sum(size) OVER (ORDER BY media_type IS NOT NULL, read_at::date, size DESC, digest) AS total \
    FROM object WHERE doomed_at IS NULL AND stored_at < now() - interval '10 minutes' \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = object.digest)) \
    UPDATE object SET doomed_at = now() FROM candidate \
    WHERE object.digest = candidate.digest AND candidate.total - candidate.size < $1";
const DOOMED: &str = "SELECT digest, name FROM object WHERE doomed_at < now() - interval '10 minutes' LIMIT $1";
const DELETE: &str = "WITH gone AS (DELETE FROM object WHERE digest = $1 AND name = $2 AND doomed_at IS NOT NULL RETURNING digest) \
    DELETE FROM name USING gone WHERE name.manifest = gone.digest \
    AND NOT EXISTS (SELECT FROM link WHERE link.digest = gone.digest)";
const KNOWN: &str = "SELECT name FROM object WHERE name = ANY($1)";
const LINKS_OF_GONE: &str =
    "DELETE FROM link WHERE ctid = ANY(ARRAY(SELECT ctid FROM link WHERE group_id <> ALL($1) LIMIT 5000))";
const IMAGES_OF_GONE: &str =
    "DELETE FROM image WHERE ctid = ANY(ARRAY(SELECT ctid FROM image WHERE group_id <> ALL($1) LIMIT 5000))";
const HELD: &str = "SELECT coalesce(sum(object.size), 0)::bigint \
    FROM (SELECT DISTINCT digest FROM link WHERE group_id = $1) AS held JOIN object ON object.digest = held.digest";
const TRIM: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned AND group_id = $1 \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest), \
    held AS (SELECT DISTINCT link.digest, object.size, object.media_type, object.read_at FROM link \
    JOIN object ON object.digest = link.digest WHERE link.group_id = $1 \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = link.digest)), \
    candidate AS (SELECT digest, size, sum(size) OVER (ORDER BY media_type IS NOT NULL, read_at::date, size DESC, digest) AS total \
    FROM held) \
    DELETE FROM link USING candidate WHERE link.group_id = $1 AND link.digest = candidate.digest \
    AND candidate.total - candidate.size < $2";
const UNPULLED: &str = "SELECT origin.origin, image.reference FROM image JOIN origin ON image.origin = origin.id \
    WHERE image.group_id = $1 AND NOT image.pinned AND image.pulled_at < now() - make_interval(days => $2) \
    ORDER BY image.origin LIMIT 1000";
// Once an hour is enough to know what is in use.
const NOTE_PULLS: &str = "UPDATE image SET pulled_at = now() FROM origin, \
    unnest($1::bigint[], $2::text[], $3::text[]) AS pulled (group_id, origin, reference) \
    WHERE origin.origin = pulled.origin AND image.origin = origin.id AND image.group_id = pulled.group_id \
    AND image.reference = pulled.reference AND image.pulled_at < now() - interval '1 hour'";

impl FleetContent {
    /// Dooms objects that nobody needs, so that at most this number of bytes stays, and deletes those that were doomed
    /// ten minutes ago.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. The next run goes on.
    pub async fn keep(&self, lease: &Lease, max_bytes: Option<u64>) -> Result<Kept, StoreError> {
        let unlinked = self.step(lease, DOOM_UNLINKED, Vec::new()).await?;
        let bytes = self.stored_bytes().await?;
        let surplus = max_bytes.map_or(0, |max| bytes.saturating_sub(max));
        let evicted = match surplus {
            0 => 0,
            surplus => self.step(lease, DOOM_SURPLUS, vec![(Box::new(surplus.cast_signed()), Type::INT8)]).await?,
        };
        let deleted = self.delete_doomed(lease).await?;
        Ok(Kept { unlinked, evicted, deleted, bytes: if evicted > 0 { self.stored_bytes().await? } else { bytes } })
    }

    /// Runs a statement if the lease holds. Returns the number of its rows.
    async fn step(&self, lease: &Lease, statement: &'static str, values: Values) -> Result<u64, StoreError> {
        let lease = lease.clone();
        let step = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                content_events::take_turn(&transaction).await?;
                if !lease.holds(&transaction).await? {
                    return Ok(0);
                }
                let values: Vec<Value<'_>> = values.iter().map(|(value, kind)| (&**value as _, kind.clone())).collect();
                let rows = transaction.execute_typed(statement, &values).await?;
                transaction.commit().await?;
                Ok(rows)
            })
        });
        self.index.database().run(step).await
    }

    async fn stored_bytes(&self) -> Result<u64, StoreError> {
        let read = work(|client| Box::pin(async move { client.query_typed_one(BYTES, &[]).await }));
        Ok(self.index.database().run(read).await?.get::<_, i64>(0).cast_unsigned())
    }

    async fn delete_doomed(&self, lease: &Lease) -> Result<u64, StoreError> {
        let read =
            work(|client| Box::pin(async move { client.query_typed(DOOMED, &[(&DELETED_AT_ONCE, Type::INT8)]).await }));
        let mut deleted = 0;
        for row in self.index.database().run(read).await? {
            let (digest, name): (Vec<u8>, String) = (row.get(0), row.get(1));
            digest_of(&digest)?;
            // The object first: an object without a row would only be found by the search for such.
            self.bucket.delete(&name).await?;
            let values: Values = vec![(Box::new(digest), Type::BYTEA), (Box::new(name), Type::TEXT)];
            self.step(lease, DELETE, values).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Deletes objects of more than a day ago that have no row: of uploads whose replica was killed. Returns their number.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. The next run goes on.
    pub async fn delete_nameless(&self) -> Result<u64, StoreError> {
        let (fleet, _) = self.newest_event().await?;
        if !self.bucket.belongs_to(&fleet).await? {
            tracing::warn!(
                "the objects in the bucket belong to another fleet, or to the one of before a new database: those without a \
                 name are not deleted"
            );
            return Ok(0);
        }
        let mut deleted = 0;
        let mut pages = self.bucket.older_than(NAMELESS_AGE);
        while let Some(names) = pages.try_next().await? {
            let known = self.known_names(names.clone()).await?;
            for name in names.iter().filter(|name| !known.contains(name)) {
                self.bucket.delete(name).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    async fn known_names(&self, names: Vec<String>) -> Result<Vec<String>, StoreError> {
        let read =
            work(move |client| Box::pin(async move { client.query_typed(KNOWN, &[(&names, Type::TEXT_ARRAY)]).await }));
        Ok(self.index.database().run(read).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Removes links of a group that holds more than this number of bytes, so that somewhat less stays. What its pinned
    /// images name stays. Returns the number of links that were removed.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn trim_group(&self, lease: &Lease, group: GroupId, max_bytes: u64) -> Result<u64, StoreError> {
        let group = id_of(group);
        let read =
            work(move |client| Box::pin(async move { client.query_typed_one(HELD, &[(&group, Type::INT8)]).await }));
        let held = self.index.database().run(read).await?.get::<_, i64>(0).cast_unsigned();
        if held <= max_bytes {
            return Ok(0);
        }
        let surplus = (held - max_bytes + max_bytes / 50).cast_signed();
        self.step(lease, TRIM, vec![(Box::new(group), Type::INT8), (Box::new(surplus), Type::INT8)]).await
    }

    /// Removes links and images of groups that are none of these.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn forget_groups_but(&self, lease: &Lease, groups: &[GroupId]) -> Result<(), StoreError> {
        for statement in [LINKS_OF_GONE, IMAGES_OF_GONE] {
            let groups: Vec<i64> = groups.iter().copied().map(id_of).collect();
            self.step(lease, statement, vec![(Box::new(groups), Type::INT8_ARRAY)]).await?;
        }
        Ok(())
    }

    /// Returns images of a group that nobody has pulled at any replica for this number of days, by origin.
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

    /// Records that images were pulled, in the background.
    pub(in crate::store) fn note_pulls(&self, pulls: HashMap<ImageKey, Pulls>) {
        if pulls.is_empty() || self.database_pause.is_on() {
            return;
        }
        let index = self.index.clone();
        self.index.database().runtime().spawn(async move { note_pulls(&index, pulls).await.ok() });
    }
}

async fn note_pulls(index: &FleetIndex, pulls: HashMap<ImageKey, Pulls>) -> Result<(), StoreError> {
    let (mut groups, mut origins, mut references) = (Vec::new(), Vec::new(), Vec::new());
    for image in pulls.keys() {
        groups.push(id_of(image.group));
        origins.push(text_of(&image.origin)?);
        references.push(image.reference.to_string());
    }
    let note = work(move |client| {
        Box::pin(async move {
            let values: [Value<'_>; 3] =
                [(&groups, Type::INT8_ARRAY), (&origins, Type::TEXT_ARRAY), (&references, Type::TEXT_ARRAY)];
            client.execute_typed(NOTE_PULLS, &values).await
        })
    });
    index.database().run(note).await.map(drop)
}

/// Age of an object from which it counts as left behind if it has no row.
const NAMELESS_AGE: Duration = Duration::from_secs(24 * 3600);
