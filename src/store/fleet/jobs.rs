//! Jobs that one replica does for all. A replica that has a job keeps it by taking it again; one that is gone loses it
//! after its lease, and another goes on.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::content::FleetContent;
use super::database::{Value, work};
use crate::store::error::StoreError;

/// A job of this replica. Each step of it checks this, so that a replica that has lost the job changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The replica.
    holder: String,
    /// Number of replicas that have had the job before.
    epoch: i64,
}

/// The name of the job that looks after the object store.
const KEEPING: &str = "keeping";

// By the clock of the database alone.
const TAKE: &str = "INSERT INTO job (name, holder, epoch, lease_until) VALUES ($1, $2, 1, now() + interval '30 seconds') \
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until, \
    epoch = job.epoch + CASE WHEN job.holder = excluded.holder THEN 0 ELSE 1 END \
    WHERE job.holder = excluded.holder OR job.lease_until < now() RETURNING epoch";

// Nobody else has taken it: then it is this replica's also where a step has taken longer than the lease.
const HOLDS: &str = "UPDATE job SET lease_until = now() + interval '30 seconds' \
    WHERE name = $1 AND holder = $2 AND epoch = $3 RETURNING epoch";

impl FleetContent {
    /// Takes the care of the object store, or keeps it; `None`: another replica has it.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn take_keeping(&self) -> Result<Option<Lease>, StoreError> {
        let holder = self.index.replica().to_string();
        let take = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 2] = [(&KEEPING, Type::TEXT), (&holder, Type::TEXT)];
                let taken = client.query_typed_opt(TAKE, &values).await?;
                Ok(taken.map(|row| Lease { holder, epoch: row.get(0) }))
            })
        });
        self.index.database().run(take).await
    }
}

impl Lease {
    /// Returns true if this replica still has the job, and keeps it. No other gets it before the transaction is over.
    pub(super) async fn holds(&self, transaction: &Transaction<'_>) -> Result<bool, tokio_postgres::Error> {
        let values: [Value<'_>; 3] = [(&KEEPING, Type::TEXT), (&self.holder, Type::TEXT), (&self.epoch, Type::INT8)];
        Ok(transaction.query_typed_opt(HOLDS, &values).await?.is_some())
    }
}

impl FleetContent {
    /// Ends the jobs of this replica, so that another one takes them at once.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn release_keeping(&self) -> Result<(), StoreError> {
        const RELEASE: &str = "UPDATE job SET lease_until = now(), holder = '' WHERE holder = $1";
        let holder = self.index.replica().to_string();
        let release =
            work(move |client| Box::pin(async move { client.execute_typed(RELEASE, &[(&holder, Type::TEXT)]).await }));
        self.index.database().run(release).await.map(drop)
    }
}
