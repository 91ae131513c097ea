//! The replicas that are registered. A change is acknowledged once all of them have it, or have stopped to decide
//! without it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database::{Database, work};
use crate::domain::id::ReplicaId;
use crate::store::error::{FleetError, StoreError};

/// A registered replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id.
    pub id: ReplicaId,
    /// The address of its internal port, such as `10.0.0.7:5052`.
    pub address: String,
}

/// The registration of this replica.
#[derive(Clone)]
pub struct Registration {
    database: Database,
    id: ReplicaId,
    address: Option<String>,
    port: u16,
}

/// Time beyond the maximum time without the database after which a replica that was not seen is not waited for.
const MARGIN: Duration = Duration::from_secs(60);

impl Registration {
    /// Describes the registration of this replica. Without an `address` it is the one from which it reaches the
    /// database, with the port of its internal listener.
    pub fn new(database: Database, id: ReplicaId, address: Option<String>, port: u16) -> Self {
        Self { database, id, address, port }
    }

    /// Returns the id of this replica.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Registers this replica. Call it before the identities are loaded: from then on writers wait for it.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or no address is known.
    pub async fn register(&self) -> Result<String, StoreError> {
        let (id, address, port) = (self.id.to_string(), self.address.clone(), self.port);
        let register = work(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                // Under the lock of changes: a writer whose change this replica will not find waits for it.
                transaction.query_typed("SELECT version FROM fence FOR UPDATE", &[]).await?;
                let seen = transaction.query_typed("SELECT host(inet_client_addr())", &[]).await?;
                let seen = seen.first().and_then(|row| row.get::<_, Option<String>>(0));
                let Some(address) = address.or_else(|| Some(with_port(&seen?, port))) else { return Ok(None) };
                let row = [(&id as _, Type::TEXT), (&address as _, Type::TEXT)];
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

    /// Records that this replica is alive, and removes those that were not seen for `without_database` and a margin.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_alive(&self, without_database: Duration) -> Result<(), StoreError> {
        let (id, secs) = (self.id.to_string(), (without_database + MARGIN).as_secs_f64());
        let note = work(move |client| {
            Box::pin(async move {
                client.execute_typed("UPDATE replica SET seen_at = now() WHERE id = $1", &[(&id, Type::TEXT)]).await?;
                client.execute_typed(REMOVE, &[(&secs, Type::FLOAT8)]).await.map(drop)
            })
        });
        self.database.run(note).await
    }

    /// Removes this replica, which does not decide any more.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let id = self.id.to_string();
        let leave = work(move |client| {
            Box::pin(
                async move { client.execute_typed("DELETE FROM replica WHERE id = $1", &[(&id, Type::TEXT)]).await },
            )
        });
        self.database.run(leave).await.map(drop)
    }
}

const INSERT: &str = "INSERT INTO replica (id, address) VALUES ($1, $2) \
    ON CONFLICT (id) DO UPDATE SET address = excluded.address, seen_at = now()";
const REMOVE: &str = "DELETE FROM replica WHERE seen_at < now() - make_interval(secs => $1)";

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Returns the replica of a row with its id and address.
pub(super) fn replica_of(row: &Row) -> Result<Replica, StoreError> {
    let id: &str = row.get(0);
    let id = id.parse().map_err(|_| StoreError::Damaged(format!("'{id}' is no id of a replica")))?;
    Ok(Replica { id, address: row.get(1) })
}
