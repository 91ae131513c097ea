//! The objects of a fleet: which content is in the object store, when it was last read, and what goes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Database, Value, work};
use super::index::{StoredObject, digest_of};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::store::error::{FleetError, StoreError};

/// The table of objects. Cheap to clone.
#[derive(Clone)]
pub(super) struct Objects {
    database: Database,
}

const FIND: &str = "SELECT name, size, media_type FROM object WHERE digest = $1 AND doomed_at IS NULL";
const SIZES: &str = "SELECT digest, size FROM object WHERE digest = ANY($1) AND doomed_at IS NULL";
// A doomed object is about to be deleted: the new one takes its place, and the old one is returned. What comes back
// counts as read when it was read last, here or elsewhere.
const ADD: &str = "WITH old AS (SELECT name FROM object WHERE digest = $1), \
    back AS (DELETE FROM evicted WHERE digest = $1 RETURNING read_at) \
    INSERT INTO object (digest, name, size, media_type, read_at) \
    VALUES ($1, $2, $3, $4, greatest(now() - make_interval(secs => $5), (SELECT read_at FROM back))) \
    ON CONFLICT (digest) DO UPDATE SET name = excluded.name, stored_at = now(), \
    read_at = greatest(object.read_at, excluded.read_at), doomed_at = NULL \
    WHERE object.doomed_at IS NOT NULL RETURNING (SELECT name FROM old)";
// What went though groups have links to it must be read a day after that: else it would go and come back again and again
// where clients read more than the bucket may have.
const LACKING: &str = "SELECT here.digest FROM unnest($1::bytea[], $2::double precision[]) AS here (digest, age) \
    WHERE NOT EXISTS (SELECT FROM object WHERE object.digest = here.digest AND object.doomed_at IS NULL) \
    AND EXISTS (SELECT FROM link WHERE link.digest = here.digest) \
    AND NOT EXISTS (SELECT FROM evicted WHERE evicted.digest = here.digest \
    AND evicted.at > now() - make_interval(secs => here.age) - interval '1 day')";
const FORGET_EVICTED: &str = "DELETE FROM evicted WHERE at < now() - interval '30 days'";
const ADD_NAMES: &str = "INSERT INTO name (manifest, named) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING";
const DROP: &str = "DELETE FROM object WHERE digest = $1 AND name = $2";
// Once a day is enough to know what is in use. A time that is ahead was written while the clock was wrong.
const NOTE_READS: &str = "UPDATE object SET read_at = now() WHERE digest = ANY($1) \
    AND (read_at < now() - interval '1 day' OR read_at > now() + interval '5 minutes')";

impl Objects {
    /// Returns the objects in this database.
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Returns the object with this content; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond within 250 ms.
    pub(super) async fn find(&self, digest: &Digest) -> Result<Option<StoredObject>, StoreError> {
        let digest = digest.as_bytes().to_vec();
        let find =
            work(move |client| Box::pin(async move { client.query_typed_opt(FIND, &[(&digest, Type::BYTEA)]).await }));
        let late = || FleetError::Unreachable("it does not respond in time".to_owned()).into();
        let row = timeout(deadlines::LOOK_UP, self.database.run(find)).await.unwrap_or_else(|_| Err(late()))?;
        Ok(row.map(|row| StoredObject {
            name: row.get(0),
            size: row.get::<_, i64>(1).cast_unsigned(),
            media_type: row.get(2),
        }))
    }

    /// Returns the lengths of those of these contents that are in the object store, in bytes.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn sizes(&self, digests: &[Digest]) -> Result<HashMap<Digest, u64>, StoreError> {
        let digests = bytes_of(digests);
        let find = work(move |client| {
            Box::pin(async move { client.query_typed(SIZES, &[(&digests, Type::BYTEA_ARRAY)]).await })
        });
        let size = |row: &Row| Ok((digest_of(row.get(0))?, row.get::<_, i64>(1).cast_unsigned()));
        self.database.run(find).await?.iter().map(size).collect()
    }

    /// Returns those of these contents that the object store lacks and should have: a group has a link to them, and they
    /// did not go, or were read a day after that. Each has the time since its last read.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn lacking(&self, contents: &[(Digest, Duration)]) -> Result<HashSet<Digest>, StoreError> {
        let (digests, ages): (Vec<_>, Vec<_>) =
            contents.iter().map(|(digest, age)| (digest.as_bytes().to_vec(), age.as_secs_f64())).unzip();
        let find = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 2] = [(&digests, Type::BYTEA_ARRAY), (&ages, Type::FLOAT8_ARRAY)];
                client.query_typed(LACKING, &values).await
            })
        });
        self.database.run(find).await?.iter().map(|row| digest_of(row.get(0))).collect()
    }

    /// Forgets what went from the object store long ago.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn forget_evicted(&self) -> Result<(), StoreError> {
        let forget = work(|client| Box::pin(async { client.execute_typed(FORGET_EVICTED, &[]).await }));
        self.database.run_slowly(forget).await.map(drop)
    }

    /// Adds an object, and what it names if it is a manifest. `age` is the time since its content was last read. Returns the name of an object that nobody needs: the new
    /// one if another has the same content, or a doomed one that it replaces.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn add(
        &self,
        digest: Digest,
        object: StoredObject,
        named: Vec<Digest>,
        age: Duration,
    ) -> Result<Option<String>, StoreError> {
        let (digest, named) = (digest.as_bytes().to_vec(), bytes_of(&named));
        let StoredObject { name, size, media_type } = object;
        let add = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                let (size, age) = (size.cast_signed(), age.as_secs_f64());
                let values: [Value<'_>; 5] = [
                    (&digest, Type::BYTEA),
                    (&name, Type::TEXT),
                    (&size, Type::INT8),
                    (&media_type, Type::TEXT),
                    (&age, Type::FLOAT8),
                ];
                let added = transaction.query_typed_opt(ADD, &values).await?;
                if !named.is_empty() {
                    let values: [Value<'_>; 2] = [(&digest, Type::BYTEA), (&named, Type::BYTEA_ARRAY)];
                    transaction.execute_typed(ADD_NAMES, &values).await?;
                }
                transaction.commit().await?;
                Ok(match added {
                    Some(row) => row.get(0),
                    None => Some(name),
                })
            })
        });
        self.database.run(add).await
    }

    /// Drops an object whose content is wrong, or that is gone: from now on its content is requested from upstream.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn drop(&self, digest: &Digest, name: &str) -> Result<(), StoreError> {
        let (digest, name) = (digest.as_bytes().to_vec(), name.to_owned());
        let drop_row = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 2] = [(&digest, Type::BYTEA), (&name, Type::TEXT)];
                client.execute_typed(DROP, &values).await
            })
        });
        self.database.run(drop_row).await.map(drop)
    }

    /// Records that clients have read these contents.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn note_reads(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let digests = bytes_of(digests);
        let note = work(move |client| {
            Box::pin(async move { client.execute_typed(NOTE_READS, &[(&digests, Type::BYTEA_ARRAY)]).await })
        });
        self.database.run(note).await.map(drop)
    }
}

fn bytes_of(digests: &[Digest]) -> Vec<Vec<u8>> {
    digests.iter().map(|digest| digest.as_bytes().to_vec()).collect()
}
