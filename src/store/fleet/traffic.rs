//! Traffic of groups by hour, in the database: each replica adds its own.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Database, work};
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, Traffic};
use crate::store::error::StoreError;

/// The traffic of all replicas. Cheap to clone.
#[derive(Clone)]
pub struct FleetTraffic {
    database: Database,
}

// In one order, so that two replicas that change the same rows do not wait for one another.
const ADD: &str = "INSERT INTO traffic AS known \
    (hour, group_id, hits, joined, fetched, saved_pulls, served_bytes, saved_bytes) SELECT $1, * FROM \
    unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) \
    AS new (group_id, hits, joined, fetched, saved_pulls, served_bytes, saved_bytes) ORDER BY group_id \
    ON CONFLICT (hour, group_id) DO UPDATE SET \
    hits = known.hits + excluded.hits, joined = known.joined + excluded.joined, \
    fetched = known.fetched + excluded.fetched, saved_pulls = known.saved_pulls + excluded.saved_pulls, \
    served_bytes = known.served_bytes + excluded.served_bytes, saved_bytes = known.saved_bytes + excluded.saved_bytes";
const SINCE: &str = "SELECT hour, sum(hits)::bigint, sum(joined)::bigint, sum(fetched)::bigint, \
    sum(saved_pulls)::bigint, sum(served_bytes)::bigint, sum(saved_bytes)::bigint FROM traffic \
    WHERE hour >= $1 AND ($2::bigint IS NULL OR group_id = $2) GROUP BY hour ORDER BY hour";
const FORGET: &str = "DELETE FROM traffic WHERE hour < $1";

impl FleetTraffic {
    /// Returns the traffic in this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds what these groups had at this replica in an hour.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn add(&self, hour: Hour, of_groups: Vec<(GroupId, Traffic)>) -> Result<(), StoreError> {
        if of_groups.is_empty() {
            return Ok(());
        }
        let hour = i64::from(hour.0);
        let column = |value: fn(&(GroupId, Traffic)) -> u64| {
            of_groups.iter().map(|one| i64::try_from(value(one)).unwrap_or(i64::MAX)).collect::<Vec<_>>()
        };
        let columns = [
            column(|(group, _)| group.0),
            column(|(_, traffic)| traffic.hits),
            column(|(_, traffic)| traffic.coalesced),
            column(|(_, traffic)| traffic.fetched),
            column(|(_, traffic)| traffic.saved_pulls),
            column(|(_, traffic)| traffic.served_bytes),
            column(|(_, traffic)| traffic.saved_bytes),
        ];
        let add = work(move |client| {
            Box::pin(async move {
                let mut values = vec![(&hour as _, Type::INT8)];
                values.extend(columns.iter().map(|column| (column as _, Type::INT8_ARRAY)));
                client.execute_typed(ADD, &values).await
            })
        });
        self.database.run(add).await.map(drop)
    }

    /// Returns the hours from `since` on in which a group, or any, had traffic at any replica, the earliest first.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn since(&self, group: Option<GroupId>, since: Hour) -> Result<Vec<(Hour, Traffic)>, StoreError> {
        let (since, group) = (i64::from(since.0), group.map(|group| group.0.cast_signed()));
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(SINCE, &[(&since, Type::INT8), (&group, Type::INT8)]).await })
        });
        Ok(self.database.run(read).await?.iter().map(traffic_of).collect())
    }

    /// Removes the traffic of all groups before an hour.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_before(&self, hour: Hour) -> Result<(), StoreError> {
        let hour = i64::from(hour.0);
        let forget =
            work(move |client| Box::pin(async move { client.execute_typed(FORGET, &[(&hour, Type::INT8)]).await }));
        self.database.run(forget).await.map(drop)
    }
}

fn traffic_of(row: &Row) -> (Hour, Traffic) {
    let number = |column: usize| row.get::<_, i64>(column).unsigned_abs();
    let traffic = Traffic {
        hits: number(1),
        coalesced: number(2),
        fetched: number(3),
        saved_pulls: number(4),
        served_bytes: number(5),
        saved_bytes: number(6),
    };
    (Hour(u32::try_from(number(0)).unwrap_or(0)), traffic)
}
