//! Failed logins at all replicas together. Each replica counts for itself, too, and refuses by what it knows: a login
//! that succeeds needs no database. A failure is added here, and the replica learns how many there are in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::database::{Database, work};
use super::live_replicas::LiveReplicas;
use crate::domain::digest::Digest;

/// The failed logins of all replicas. Cheap to clone.
#[derive(Clone)]
pub struct FailedLogins {
    database: Database,
    live: LiveReplicas,
    recorded: Arc<AtomicU32>,
}

/// A count to which a failure is added.
#[derive(Clone, Copy, Debug)]
pub struct FailureCount {
    /// The key: a digest, because people type passwords into fields for user names.
    pub key: Digest,
    /// The time after which one failure is forgotten.
    pub forget_one_after: Duration,
}

/// The failures at all replicas, after one at this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FleetFailures<const N: usize> {
    /// The numbers of failures that are not forgotten, with this one, in the order of the counts.
    Counted([f64; N]),
    /// The database has not responded in time.
    Unknown,
}

// In one order, so that two replicas that change the same rows do not wait for one another.
const RECORD: &str = "INSERT INTO failed_login (key, level, forget_one_after) \
    SELECT key, 1, seconds FROM unnest($1::text[], $2::float8[]) AS new (key, seconds) ORDER BY key \
    ON CONFLICT (key) DO UPDATE SET at = greatest(failed_login.at, now()), \
    forget_one_after = excluded.forget_one_after, level = 1 + greatest(0, failed_login.level \
    - greatest(0, extract(epoch FROM now() - failed_login.at)::float8) / excluded.forget_one_after) \
    RETURNING key, level";
const FORGET: &str = "DELETE FROM failed_login WHERE key IN (SELECT key FROM failed_login \
    WHERE at + make_interval(secs => level * forget_one_after) < now() FOR UPDATE SKIP LOCKED)";

/// Maximum time in which a failure is added.
const RECORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of failures after which a replica removes the counts of which nothing is left.
const FORGET_INTERVAL: u32 = 100;

impl FailedLogins {
    /// Returns the failed logins in this database.
    pub fn new(database: Database, live: LiveReplicas) -> Self {
        Self { database, live, recorded: Arc::default() }
    }

    /// Returns the last known number of replicas, at which somebody may guess.
    pub fn replicas(&self) -> usize {
        self.live.count()
    }

    /// Adds a failure to each of these counts, whose keys differ.
    pub async fn record<const N: usize>(&self, counts: [FailureCount; N]) -> FleetFailures<N> {
        let keys = counts.map(|count| count.key.to_string());
        let seconds = counts.map(|count| count.forget_one_after.as_secs_f64()).to_vec();
        let forgets = self.recorded.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_INTERVAL);
        let sent = keys.to_vec();
        let record = work(move |client| {
            Box::pin(async move {
                let values = [(&sent as _, Type::TEXT_ARRAY), (&seconds as _, Type::FLOAT8_ARRAY)];
                let rows = client.query_typed(RECORD, &values).await?;
                if forgets {
                    client.execute_typed(FORGET, &[]).await?;
                }
                Ok(rows)
            })
        });
        let Ok(Ok(rows)) = timeout(RECORD_TIMEOUT, self.database.run(record)).await else {
            return FleetFailures::Unknown;
        };
        let level =
            |key: String| rows.iter().find(|row| row.get::<_, &str>(0) == key).map_or(0.0, |row| row.get::<_, f64>(1));
        FleetFailures::Counted(keys.map(level))
    }
}
