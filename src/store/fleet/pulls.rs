//! Numbers and times of pulls of images at all replicas: each adds its own some seconds later, and reads what all have
//! counted.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::content_events;
use super::database::{Value, work};
use super::index::additions::age;
use super::index::{FleetIndex, id_of, text_of};
use super::index_changes::IndexChanges;
use crate::domain::id::GroupId;
use crate::domain::reference::Reference;
use crate::store::error::StoreError;
use crate::store::images::{ImageKey, Pulls};

/// Pulls of this replica that the database does not have yet. Cheap to clone; clones share their state.
#[derive(Clone)]
pub(super) struct WaitingPulls(Arc<Inner>);

struct Inner {
    index: FleetIndex,
    changes: IndexChanges,
    pulls: Mutex<HashMap<ImageKey, Pulls>>,
    /// Held while pulls are written.
    writing: tokio::sync::Mutex<()>,
}

/// The place in the order of counts from which a replica goes on to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountPlace {
    /// Microseconds since the epoch, by the clock of the database.
    counted_at: i64,
    group: i64,
    origin: i64,
    reference: String,
}

/// Images with their pulls at all replicas.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// The images.
    pub images: Vec<(ImageKey, Pulls)>,
    /// True if there are more.
    pub has_more: bool,
}

/// Maximum number of images whose pulls wait while the database is away. Those of others are not counted.
const MAX_WAITING: usize = 100_000;
/// Maximum number of images that are read at once.
const READ_AT_ONCE: usize = 1_000;
/// Time for which counts are read again, in microseconds: they have the time at which their transactions began.
const READ_AGAIN: i64 = 10_000_000;

// A pull by a digest is one of the tags that stand for it, too, but not in their numbers. A time that is ahead was written
// while the clock of the database was wrong.
const ADD: &str = "WITH given AS (SELECT origin.id AS origin, pulled.group_id, reference, digest, pulls, age \
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::float8[]) \
        AS pulled (group_id, origin, reference, digest, pulls, age) JOIN origin ON origin.origin = pulled.origin), \
    found AS (SELECT image.group_id, image.origin, image.reference, given.pulls, given.age FROM given JOIN image \
            ON image.group_id = given.group_id AND image.origin = given.origin AND image.reference = given.reference \
        UNION ALL SELECT image.group_id, image.origin, image.reference, 0, given.age FROM given JOIN image \
            ON image.digest = given.digest AND image.group_id = given.group_id AND image.origin = given.origin \
            AND image.reference <> given.reference), \
    total AS (SELECT group_id, origin, reference, sum(pulls)::bigint AS pulls, min(age) AS age FROM found \
        GROUP BY group_id, origin, reference) \
    UPDATE image SET pulls = image.pulls + total.pulls, counted_at = now(), \
        pulled_at = greatest(CASE WHEN image.pulled_at <= now() + interval '5 minutes' THEN image.pulled_at END, \
            now() - make_interval(secs => total.age)) FROM total \
    WHERE image.group_id = total.group_id AND image.origin = total.origin AND image.reference = total.reference";
const COUNTED: &str = "SELECT (extract(epoch FROM image.counted_at) * 1000000)::bigint, image.group_id, image.origin, \
        image.reference, origin.origin, image.pulls, (extract(epoch FROM now() - image.pulled_at) * 1000)::bigint \
    FROM image JOIN origin ON image.origin = origin.id \
    WHERE (image.counted_at, image.group_id, image.origin, image.reference) \
        > (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2::bigint, $3::bigint, $4::text) \
    ORDER BY image.counted_at, image.group_id, image.origin, image.reference LIMIT $5";

impl WaitingPulls {
    /// Returns an empty set for this index, to which these changes are made.
    pub(super) fn new(index: FleetIndex, changes: IndexChanges) -> Self {
        Self(Arc::new(Inner { index, changes, pulls: Mutex::default(), writing: tokio::sync::Mutex::default() }))
    }

    /// Adds pulls of this replica.
    pub(super) fn add(&self, pulls: HashMap<ImageKey, Pulls>) {
        let mut waiting = self.waiting();
        for (image, more) in pulls {
            let is_full = waiting.len() >= MAX_WAITING;
            match waiting.get_mut(&image) {
                Some(known) => known.add(more),
                None if is_full => {}
                None => drop(waiting.insert(image, more)),
            }
        }
    }

    /// Returns the number of pulls of an image that wait.
    pub(super) fn of(&self, image: &ImageKey) -> u64 {
        self.waiting().get(image).map_or(0, |pulls| pulls.count)
    }

    /// Writes the pulls that wait. Those that cannot be written wait on.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn write(&self) -> Result<(), StoreError> {
        let _writing = self.0.writing.lock().await;
        let pulls = mem::take(&mut *self.waiting());
        if pulls.is_empty() {
            return Ok(());
        }
        let written = self.write_these(&pulls).await;
        if written.is_err() {
            self.add(pulls);
        }
        written
    }

    async fn write_these(&self, pulls: &HashMap<ImageKey, Pulls>) -> Result<(), StoreError> {
        // An image that was pulled for the first time must be there.
        self.0.changes.flush().await?;
        let columns = Columns::of(pulls)?;
        let add = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                // Two transactions that change the same images must not wait for one another.
                content_events::take_turn(&transaction).await?;
                let values: [Value<'_>; 6] = [
                    (&columns.groups, Type::INT8_ARRAY),
                    (&columns.origins, Type::TEXT_ARRAY),
                    (&columns.references, Type::TEXT_ARRAY),
                    (&columns.digests, Type::BYTEA_ARRAY),
                    (&columns.counts, Type::INT8_ARRAY),
                    (&columns.ages, Type::FLOAT8_ARRAY),
                ];
                transaction.execute_typed(ADD, &values).await?;
                transaction.commit().await
            })
        });
        self.0.index.database().run(add).await
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<ImageKey, Pulls>> {
        self.0.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The columns of pulls.
#[derive(Default)]
struct Columns {
    groups: Vec<i64>,
    origins: Vec<String>,
    references: Vec<String>,
    /// The digests of images that were pulled by them.
    digests: Vec<Option<Vec<u8>>>,
    counts: Vec<i64>,
    ages: Vec<f64>,
}

impl Columns {
    fn of(pulls: &HashMap<ImageKey, Pulls>) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for (image, pulls) in pulls {
            columns.groups.push(id_of(image.group));
            columns.origins.push(text_of(&image.origin)?);
            columns.references.push(image.reference.to_string());
            columns.digests.push(match &image.reference {
                Reference::Digest(digest) => Some(digest.as_bytes().to_vec()),
                Reference::Tag(_) => None,
            });
            columns.counts.push(i64::try_from(pulls.count).unwrap_or(i64::MAX));
            columns.ages.push(age(pulls.last));
        }
        Ok(columns)
    }
}

impl FleetIndex {
    /// Returns images whose pulls were counted after this place, which moves behind them.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub(super) async fn counted_after(&self, place: &mut CountPlace) -> Result<Counted, StoreError> {
        let (from, limit) = (place.clone(), READ_AT_ONCE as i64);
        let read = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 5] = [
                    (&from.counted_at, Type::INT8),
                    (&from.group, Type::INT8),
                    (&from.origin, Type::INT8),
                    (&from.reference, Type::TEXT),
                    (&limit, Type::INT8),
                ];
                client.query_typed(COUNTED, &values).await
            })
        });
        let rows = self.database().run(read).await?;
        let has_more = rows.len() == READ_AT_ONCE;
        if let Some(row) = rows.last() {
            *place =
                CountPlace { counted_at: row.get(0), group: row.get(1), origin: row.get(2), reference: row.get(3) };
        }
        if !has_more {
            // Others may be committed later with an earlier time.
            *place = CountPlace { counted_at: (place.counted_at - READ_AGAIN).max(0), ..CountPlace::default() };
        }
        Ok(Counted { images: rows.iter().map(counted).collect::<Result<_, _>>()?, has_more })
    }
}

fn counted(row: &Row) -> Result<(ImageKey, Pulls), StoreError> {
    let reference: &str = row.get(3);
    let key = ImageKey {
        group: GroupId(row.get::<_, i64>(1).cast_unsigned()),
        origin: serde_json::from_str(row.get(4))?,
        reference: reference.parse().map_err(|_| StoreError::Damaged(format!("'{reference}' is no tag")))?,
    };
    // By the clock of the database, so that clocks of replicas may differ.
    let last = Timestamp::now() - SignedDuration::from_millis(row.get::<_, i64>(6).max(0));
    Ok((key, Pulls { count: row.get::<_, i64>(5).cast_unsigned(), last }))
}
