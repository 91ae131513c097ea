//! The care of the object store, by one replica at a time: which objects go, because no group has a link to their
//! content or because there are too many bytes, and what is left behind without a name.
//!
//! An object goes in two steps. It is doomed first: from then on no lookup finds it, and a replica that needs its
//! content again uploads it under another name. It is deleted ten minutes later, when nobody reads it any more.
//!
//! The choice of what goes comes first, by statements that may read whole tables and lock nothing. It is removed in
//! small steps, in the turn to change the index, each of which examines again whether it may go.

mod expiry;
mod group_totals;
mod quotas;
mod unnamed;

pub use self::unnamed::LinkPlace;

use std::time::Duration;

use futures::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use super::content::FleetContent;
use super::content_events;
use super::database::{Value, work};
use super::index::digest_of;
use super::jobs::Lease;
use crate::store::error::StoreError;

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

/// The place in the order of digests at which the next search for objects without a link begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPlace(Vec<u8>);

/// Values of a statement, with their types.
type Values = Vec<(Box<dyn ToSql + Sync + Send>, Type)>;

/// Maximum number of objects that are deleted in one run.
const DELETED_AT_ONCE: i64 = 500;
/// Number of objects that could not be deleted after which a run ends: it does not wait for an object store that is away
/// once for each object, and an object that cannot be deleted does not keep the others.
const MAX_FAILURES: usize = 10;
/// Maximum number of objects that are examined for links in one run.
const EXAMINED_AT_ONCE: i64 = 10_000;
/// Maximum number of digests that are chosen to go in one run.
const CHOSEN_AT_ONCE: i64 = 50_000;
/// Maximum number of digests in one step.
const REMOVED_AT_ONCE: usize = 5_000;

// An object may be older than the link to it: both are written in the background.
const UNLINKED: &str = "SELECT digest, doomed_at IS NULL AND stored_at < now() - interval '1 hour' \
    AND NOT EXISTS (SELECT FROM link WHERE link.digest = part.digest) \
    FROM (SELECT digest, stored_at, doomed_at FROM object WHERE digest > $1 ORDER BY digest LIMIT $2) AS part \
    ORDER BY digest";
const DOOM_UNLINKED: &str = "UPDATE object SET doomed_at = now() WHERE digest = ANY($1) AND doomed_at IS NULL \
    AND NOT EXISTS (SELECT FROM link WHERE link.digest = object.digest)";
const SUM_OF_SIZES: &str = "SELECT coalesce(sum(size), 0)::bigint FROM object WHERE doomed_at IS NULL";
// Blobs before manifests, which are small and name the blobs; then what was not read for the longest time; of that the
// largest, so that few have to be fetched again. What pinned images name stays.
const SURPLUS: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest), \
    first AS (SELECT digest, size, media_type IS NOT NULL AS is_manifest, read_at::date AS day FROM object \
    WHERE doomed_at IS NULL AND stored_at < now() - interval '10 minutes' \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = object.digest) \
    ORDER BY is_manifest, day, size DESC, digest LIMIT $2), \
    candidate AS (SELECT digest, size, sum(size) OVER (ORDER BY is_manifest, day, size DESC, digest) AS total FROM first) \
    SELECT digest FROM candidate WHERE total - size < $1";
const DOOM_SURPLUS: &str = "WITH RECURSIVE kept (digest) AS (SELECT digest FROM image WHERE pinned \
    UNION SELECT name.named FROM kept JOIN name ON name.manifest = kept.digest) \
    UPDATE object SET doomed_at = now() WHERE digest = ANY($1) AND doomed_at IS NULL \
    AND NOT EXISTS (SELECT FROM kept WHERE kept.digest = object.digest)";
// In no order, so that objects that cannot be deleted are not the first of each run.
const DOOMED: &str =
    "SELECT digest, name FROM object WHERE doomed_at < now() - interval '10 minutes' ORDER BY random() LIMIT $1";
const DELETE: &str = "WITH gone AS (DELETE FROM object WHERE digest = $1 AND name = $2 AND doomed_at IS NOT NULL RETURNING digest) \
    DELETE FROM name USING gone WHERE name.manifest = gone.digest \
    AND NOT EXISTS (SELECT FROM link WHERE link.digest = gone.digest)";
const KNOWN: &str = "SELECT name FROM object WHERE name = ANY($1)";

impl FleetContent {
    /// Dooms objects that nobody needs, so that at most this number of bytes stays, and deletes those that were doomed
    /// ten minutes ago. Objects without a link are searched for from `place` on.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. The next run goes on.
    pub async fn keep(
        &self,
        lease: &Lease,
        max_bytes: Option<u64>,
        place: &mut SearchPlace,
    ) -> Result<Kept, StoreError> {
        let unlinked = self.doom_unlinked(lease, place).await?;
        let bytes = self.stored_bytes().await?;
        let surplus = max_bytes.map_or(0, |max| bytes.saturating_sub(max));
        let evicted = if surplus > 0 { self.evict(lease, surplus).await? } else { 0 };
        let deleted = self.delete_doomed(lease).await?;
        Ok(Kept { unlinked, evicted, deleted, bytes: if evicted > 0 { self.stored_bytes().await? } else { bytes } })
    }

    async fn doom_unlinked(&self, lease: &Lease, place: &mut SearchPlace) -> Result<u64, StoreError> {
        let after = place.0.clone();
        let read = work(move |client| {
            Box::pin(async move {
                client.query_typed(UNLINKED, &[(&after, Type::BYTEA), (&EXAMINED_AT_ONCE, Type::INT8)]).await
            })
        });
        let rows = self.index.database().run_slowly(read).await?;
        let unlinked = rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
        let doomed = self.steps(lease, DOOM_UNLINKED, unlinked, &[]).await?;
        let is_end = (rows.len() as u64) < EXAMINED_AT_ONCE.cast_unsigned();
        place.0 = rows.last().filter(|_| !is_end).map(|row| row.get(0)).unwrap_or_default();
        Ok(doomed)
    }

    async fn evict(&self, lease: &Lease, surplus: u64) -> Result<u64, StoreError> {
        let surplus = surplus.cast_signed();
        let read = work(move |client| {
            Box::pin(async move {
                client.query_typed(SURPLUS, &[(&surplus, Type::INT8), (&CHOSEN_AT_ONCE, Type::INT8)]).await
            })
        });
        let rows = self.index.database().run_slowly(read).await?;
        self.steps(lease, DOOM_SURPLUS, rows.iter().map(|row| row.get(0)).collect(), &[]).await
    }

    /// Runs a statement for all of these digests, in steps, as long as the lease holds. The digests are its first
    /// value. Returns the number of its rows.
    async fn steps(
        &self,
        lease: &Lease,
        statement: &'static str,
        digests: Vec<Vec<u8>>,
        others: &[i64],
    ) -> Result<u64, StoreError> {
        let mut rows = 0;
        for some in digests.chunks(REMOVED_AT_ONCE) {
            let mut values: Values = vec![(Box::new(some.to_vec()), Type::BYTEA_ARRAY)];
            values.extend(others.iter().map(|value| (Box::new(*value) as Box<dyn ToSql + Sync + Send>, Type::INT8)));
            rows += self.step(lease, statement, values).await?;
        }
        Ok(rows)
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
        let read = work(|client| Box::pin(async move { client.query_typed_one(SUM_OF_SIZES, &[]).await }));
        Ok(self.index.database().run_slowly(read).await?.get::<_, i64>(0).cast_unsigned())
    }

    async fn delete_doomed(&self, lease: &Lease) -> Result<u64, StoreError> {
        let read =
            work(|client| Box::pin(async move { client.query_typed(DOOMED, &[(&DELETED_AT_ONCE, Type::INT8)]).await }));
        let (mut deleted, mut failures) = (0, Vec::new());
        for row in self.index.database().run(read).await? {
            match self.delete_object(lease, row.get(0), row.get(1)).await {
                Ok(()) => deleted += 1,
                Err(error) => failures.push(error),
            }
            if failures.len() == MAX_FAILURES {
                break;
            }
        }
        failures.into_iter().next().map_or(Ok(deleted), Err)
    }

    async fn delete_object(&self, lease: &Lease, digest: Vec<u8>, name: String) -> Result<(), StoreError> {
        digest_of(&digest)?;
        // The object first: an object without a row would only be found by the search for such.
        self.bucket.delete(&name).await?;
        let values: Values = vec![(Box::new(digest), Type::BYTEA), (Box::new(name), Type::TEXT)];
        self.step(lease, DELETE, values).await.map(drop)
    }

    /// Deletes objects of more than a day ago that have no row: of uploads whose replica was killed. Returns their
    /// number.
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
        let (mut deleted, mut failures) = (0, Vec::new());
        let mut pages = self.bucket.older_than(NAMELESS_AGE);
        while let Some(names) = pages.try_next().await?
            && failures.len() < MAX_FAILURES
        {
            let known = self.known_names(names.clone()).await?;
            for name in names.iter().filter(|name| !known.contains(name)) {
                match self.bucket.delete(name).await {
                    Ok(()) => deleted += 1,
                    Err(error) => failures.push(error),
                }
            }
        }
        failures.into_iter().next().map_or(Ok(deleted), Err)
    }

    async fn known_names(&self, names: Vec<String>) -> Result<Vec<String>, StoreError> {
        let read =
            work(move |client| Box::pin(async move { client.query_typed(KNOWN, &[(&names, Type::TEXT_ARRAY)]).await }));
        Ok(self.index.database().run(read).await?.iter().map(|row| row.get(0)).collect())
    }
}

/// Age of an object from which it counts as left behind if it has no row.
const NAMELESS_AGE: Duration = Duration::from_secs(24 * 3600);
