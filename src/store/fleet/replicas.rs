//! The replicas that are registered. A change is acknowledged once all of them have it, or have stopped to decide
//! without it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Database, IDLE_TIMEOUT, transaction_limits, work};
use crate::domain::fleet::validity::Bound;
use crate::domain::id::ReplicaId;
use crate::store::error::{FleetError, StoreError};

/// A registered replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id.
    pub id: ReplicaId,
    /// The address of its internal port, such as `10.0.0.7:5052`.
    pub address: String,
    /// Its bound: settings may differ while they are being changed.
    pub bound: Bound,
}

/// The registration of this replica.
#[derive(Clone)]
pub struct Registration {
    database: Database,
    id: ReplicaId,
    /// This process. A copy of a data folder has the same id.
    instance: String,
    address: Option<String>,
    port: u16,
    bound: Bound,
    without_database: Duration,
}

/// A replica, as another one that looks for lost ones finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Its id.
    pub id: ReplicaId,
    /// The time of the database at which it was last seen, as text: only compared with itself.
    pub seen_at: String,
    /// Time for which it may go on without the database.
    pub without_database: Duration,
}

impl Registration {
    /// Describes the registration of this process. Without an `address` it is the one from which it reaches the
    /// database, with the port of its internal listener.
    pub fn new(
        database: Database,
        (id, instance): (ReplicaId, String),
        (address, port): (Option<String>, u16),
        (bound, without_database): (Bound, Duration),
    ) -> Self {
        Self { database, id, instance, address, port, bound, without_database }
    }

    /// Returns the id of this replica.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Registers this process, in place of another one with its id. Call it before the identities are loaded: from then
    /// on writers wait for it.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or no address is known.
    pub async fn register(&self) -> Result<String, StoreError> {
        let (id, instance, address, port) =
            (self.id.to_string(), self.instance.clone(), self.address.clone(), self.port);
        let (bound, without) = (millis(self.bound.0), millis(self.without_database));
        let register = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.batch_execute(&transaction_limits(IDLE_TIMEOUT)).await?;
                // Under the lock of changes: a writer whose change this replica will not find waits for it.
                transaction.query_typed("SELECT version FROM fence FOR UPDATE", &[]).await?;
                let seen = transaction.query_typed("SELECT host(inet_client_addr())", &[]).await?;
                let seen = seen.first().and_then(|row| row.get::<_, Option<String>>(0));
                let seen = seen.map(|seen| with_port(&seen, port));
                let Some(address) = address.or(seen) else { return Ok(None) };
                let row = [
                    (&id as _, Type::TEXT),
                    (&address as _, Type::TEXT),
                    (&instance as _, Type::TEXT),
                    (&bound as _, Type::INT8),
                    (&without as _, Type::INT8),
                ];
                transaction.execute_typed(INSERT, &row).await?;
                transaction.commit().await?;
                Ok(Some(address))
            })
        });
        let address = self.database.run(register).await?;
        address.ok_or_else(|| {
            FleetError::Refused("fleet.address must be set where the database is a socket".into()).into()
        })
    }

    /// Records that this process is alive. Returns all replicas; nothing was recorded if this one is not among them.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn note_alive(&self) -> Result<Vec<Sign>, StoreError> {
        let (id, instance) = (self.id.to_string(), self.instance.clone());
        let note = work(move |client| {
            Box::pin(async move {
                client.execute_typed(SEEN, &[(&id, Type::TEXT), (&instance, Type::TEXT)]).await?;
                client.query_typed(SIGNS, &[]).await
            })
        });
        self.database.run(note).await?.iter().map(sign_of).collect()
    }

    /// Marks a replica that was not seen since: it registers anew before it decides again. Call [`Self::remove`] once
    /// its last look is over.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn suspect(&self, sign: &Sign) -> Result<(), StoreError> {
        let (id, seen_at) = (sign.id.to_string(), sign.seen_at.clone());
        let mark = work(move |client| {
            Box::pin(async move { client.execute_typed(SUSPECT, &[(&id, Type::TEXT), (&seen_at, Type::TEXT)]).await })
        });
        self.database.run(mark).await.map(drop)
    }

    /// Removes a replica that is still marked.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn remove(&self, id: ReplicaId) -> Result<(), StoreError> {
        let id = id.to_string();
        let remove =
            work(move |client| Box::pin(async move { client.execute_typed(REMOVE, &[(&id, Type::TEXT)]).await }));
        self.database.run(remove).await.map(drop)
    }

    /// Removes this process, which does not decide any more.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let (id, instance) = (self.id.to_string(), self.instance.clone());
        let leave = work(move |client| {
            Box::pin(async move { client.execute_typed(LEAVE, &[(&id, Type::TEXT), (&instance, Type::TEXT)]).await })
        });
        self.database.run(leave).await.map(drop)
    }
}

const INSERT: &str = "INSERT INTO replica (id, address, instance, bound_ms, without_database_ms) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET address = excluded.address, \
    instance = excluded.instance, bound_ms = excluded.bound_ms, \
    without_database_ms = excluded.without_database_ms, suspect = false, seen_at = now()";
const SEEN: &str = "UPDATE replica SET seen_at = now() WHERE id = $1 AND instance = $2 AND NOT suspect";
const SIGNS: &str = "SELECT id, seen_at::text, without_database_ms FROM replica";
const SUSPECT: &str = "UPDATE replica SET suspect = true WHERE id = $1 AND seen_at::text = $2";
const REMOVE: &str = "DELETE FROM replica WHERE id = $1 AND suspect";
const LEAVE: &str = "DELETE FROM replica WHERE id = $1 AND instance = $2";

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a time that the database has in milliseconds.
pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn sign_of(row: &Row) -> Result<Sign, StoreError> {
    Ok(Sign { id: id_of(row)?, seen_at: row.get(1), without_database: duration(row.get(2)) })
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Returns the replica of a row with its id, address and bound.
pub(super) fn replica_of(row: &Row) -> Result<Replica, StoreError> {
    Ok(Replica { id: id_of(row)?, address: row.get(1), bound: Bound(duration(row.get(2))) })
}

fn id_of(row: &Row) -> Result<ReplicaId, StoreError> {
    let id: &str = row.get(0);
    id.parse().map_err(|_| StoreError::Damaged(format!("'{id}' is no id of a replica")))
}
