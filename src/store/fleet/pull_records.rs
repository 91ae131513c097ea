//! Records of who pulled images, at all replicas: each writes those of its own index some seconds later. A record that
//! is written twice counts once, because a replica writes what it has counted altogether.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Value, work};
use super::index::FleetIndex;
use crate::domain::id::CredentialId;
use crate::domain::pull_record::{Day, PullRecord};
use crate::store::embedded::index::StoredPullRecord;
use crate::store::error::StoreError;
use crate::store::images::{ImagePulls, PullsQuery};

/// Records of this replica that the database does not have yet. Cheap to clone; clones share their state.
#[derive(Clone)]
pub(super) struct WaitingRecords(Arc<Inner>);

struct Inner {
    index: FleetIndex,
    records: Mutex<HashMap<RecordKey, Vec<u8>>>,
    /// Held while records are written, so that a later one is not replaced by an earlier.
    writing: tokio::sync::Mutex<()>,
}

/// The image, day and credential of a record.
type RecordKey = (Vec<u8>, Day, [u8; 16]);

/// Maximum number of records that wait while the database is away, about 500 bytes each. Others are written at the next
/// start.
const MAX_WAITING: usize = 50_000;
/// Maximum number of records in one statement.
const WRITTEN_AT_ONCE: usize = 1_000;

const WRITE: &str = "INSERT INTO pull_record (image, day, credential, replica, record) \
    SELECT image, day, credential, $5, record::json \
    FROM unnest($1::bytea[], $2::integer[], $3::bytea[], $4::text[]) AS new (image, day, credential, record) \
    ON CONFLICT (image, day, credential, replica) DO UPDATE SET record = excluded.record \
    WHERE pull_record.record::text <> excluded.record::text";
const READ: &str = "SELECT day, credential, record::text FROM pull_record WHERE image = $1 AND day BETWEEN $2 AND $3";
const FIRST_DAY: &str = "SELECT min(day) FROM pull_record WHERE day >= $1";
const FORGET: &str = "DELETE FROM pull_record WHERE day < $1";

impl WaitingRecords {
    /// Returns an empty set for this index.
    pub(super) fn new(index: FleetIndex) -> Self {
        Self(Arc::new(Inner { index, records: Mutex::default(), writing: tokio::sync::Mutex::default() }))
    }

    /// Adds records as the index of this replica has them now. Those that it has added before are replaced.
    pub(super) fn add(&self, records: Vec<StoredPullRecord>) {
        let mut waiting = self.waiting();
        for StoredPullRecord { image, day, credential, record } in records {
            let (key, is_full) = ((image, day, credential), waiting.len() >= MAX_WAITING);
            if !is_full || waiting.contains_key(&key) {
                waiting.insert(key, record);
            }
        }
    }

    /// Writes the records that wait. Those that cannot be written wait on.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn write(&self) -> Result<(), StoreError> {
        let _writing = self.0.writing.lock().await;
        let records: Vec<_> = mem::take(&mut *self.waiting()).into_iter().collect();
        for (number, some) in records.chunks(WRITTEN_AT_ONCE).enumerate() {
            if let Err(error) = self.write_these(some).await {
                let left = records.into_iter().skip(number * WRITTEN_AT_ONCE);
                let mut waiting = self.waiting();
                for (key, record) in left {
                    waiting.entry(key).or_insert(record);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_these(&self, records: &[(RecordKey, Vec<u8>)]) -> Result<(), StoreError> {
        let images: Vec<Vec<u8>> = records.iter().map(|((image, ..), _)| image.clone()).collect();
        let days: Vec<i32> = records.iter().map(|((_, day, _), _)| number_of(*day)).collect();
        let credentials: Vec<Vec<u8>> = records.iter().map(|((.., credential), _)| credential.to_vec()).collect();
        let values: Vec<String> =
            records.iter().map(|(_, record)| String::from_utf8_lossy(record).into_owned()).collect();
        let replica = self.0.index.replica().to_string();
        let write = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 5] = [
                    (&images, Type::BYTEA_ARRAY),
                    (&days, Type::INT4_ARRAY),
                    (&credentials, Type::BYTEA_ARRAY),
                    (&values, Type::TEXT_ARRAY),
                    (&replica, Type::TEXT),
                ];
                client.execute_typed(WRITE, &values).await
            })
        });
        self.0.index.database().run(write).await.map(drop)
    }

    /// Returns a part of the records of one image, which these bytes stand for, the latest day first.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub(super) async fn read(&self, image: Vec<u8>, query: &PullsQuery) -> Result<ImagePulls, StoreError> {
        let (first, last) = (number_of(query.first), number_of(query.last));
        let read = work(move |client| {
            Box::pin(async move {
                let since = client.query_typed_one(FIRST_DAY, &[(&first, Type::INT4)]).await?;
                let values: [Value<'_>; 3] = [(&image, Type::BYTEA), (&first, Type::INT4), (&last, Type::INT4)];
                Ok((since.get::<_, Option<i32>>(0), client.query_typed(READ, &values).await?))
            })
        });
        let (since, rows) = self.0.index.database().run(read).await?;
        let summed = summed(&rows)?;
        let (total, since) = (summed.len(), since.map(i32::cast_unsigned).map(Day));
        let records = summed.into_iter().skip(query.skip).take(query.limit);
        Ok(ImagePulls { records: records.collect(), total, since })
    }

    /// Removes the records of earlier days.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn forget_before(&self, day: Day) -> Result<(), StoreError> {
        let day = number_of(day);
        let forget =
            work(move |client| Box::pin(async move { client.execute_typed(FORGET, &[(&day, Type::INT4)]).await }));
        self.0.index.database().run(forget).await.map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<RecordKey, Vec<u8>>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number_of(day: Day) -> i32 {
    i32::try_from(day.0).unwrap_or(i32::MAX)
}

/// Returns the records of all replicas, one for each day and credential, the latest day first.
fn summed(rows: &[Row]) -> Result<Vec<(Day, Option<CredentialId>, PullRecord)>, StoreError> {
    let mut of_replicas = Vec::with_capacity(rows.len());
    for row in rows {
        let day = Day(row.get::<_, i32>(0).cast_unsigned());
        let record: PullRecord = serde_json::from_str(row.get(2))?;
        of_replicas.push((day, row.get::<_, Vec<u8>>(1), record));
    }
    // The later one of two is added to the earlier.
    of_replicas.sort_by_key(|(.., record)| record.last);
    let mut sums = BTreeMap::<_, PullRecord>::new();
    for (day, credential, record) in of_replicas {
        let key = (std::cmp::Reverse(day), credential);
        match sums.get_mut(&key) {
            Some(sum) => sum.add(&record),
            None => drop(sums.insert(key, record)),
        }
    }
    let credential = |bytes: Vec<u8>| {
        let bits: [u8; 16] = bytes.try_into().unwrap_or_default();
        (bits != [0; 16]).then(|| CredentialId::from_random(bits))
    };
    Ok(sums.into_iter().map(|((day, bytes), record)| (day.0, credential(bytes), record)).collect())
}
