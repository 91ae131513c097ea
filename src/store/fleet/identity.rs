//! Identities in the database of a fleet. The row `fence` has the number of the last change; its lock is the turn to
//! make the next one, so that changes of all replicas come one after the other, without gaps in their numbers.
//!
//! | module | content |
//! |---|---|
//! | [`turn`] | the turn to make a change |
//! | [`written`] | the statements that write a change, and the search for one whose connection was lost |
//! | [`history`] | the changes that are kept, and what the database knows of the change log |
//! | [`changes`] | changes and records as rows and texts |

mod changes;
mod history;
mod turn;
mod written;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub(super) use self::changes::change_of;
use self::changes::{complete, signed, unsigned};
pub use self::turn::FleetTurn;
use super::database::{Database, work};
use super::replicas::{Replica, duration, replica_of};
use crate::auth::random;
use crate::domain::directory::{Version, Write};
use crate::domain::fleet::State;
use crate::domain::fleet::validity::Bound;
use crate::domain::id::ReplicaId;
use crate::store::error::{FleetError, StoreError};
use crate::store::snapshot::Snapshot;

/// The identities of a fleet, as one replica reads and changes them. Cheap to clone.
#[derive(Clone)]
pub struct FleetIdentities {
    database: Database,
    replica: ReplicaId,
    /// This process.
    instance: String,
    bound: Bound,
    /// The time of the latest use that was read, in microseconds.
    pub(super) uses_read: Arc<AtomicI64>,
}

/// A change of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub version: Version,
    /// Its writes.
    pub writes: Vec<Write>,
}

/// The changes that a replica does not have yet.
#[derive(Clone, Debug)]
pub enum Missed {
    /// The changes after the known one, without gaps.
    Changes {
        /// The history that they belong to.
        history: String,
        /// The changes.
        changes: Vec<Change>,
    },
    /// All identities: the changes between are not kept any more, or the database has an older state than the known
    /// one, as after a restore.
    Everything(Box<Snapshot>),
}

/// The result of a look at the database.
#[derive(Debug)]
pub struct Look {
    /// The changes that were not known.
    pub missed: Missed,
    /// The registration of the replica.
    pub registered: Registered,
    /// The last change in the database.
    pub newest: Version,
    /// The last change that the change log has.
    pub logged: Version,
    /// The history of the changes.
    pub history: String,
    /// The longest bound of all replicas.
    pub longest_bound: Bound,
}

/// The registration of a replica, as a look finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Writers wait for it.
    Yes,
    /// Its row is gone, or about to go.
    No,
    /// Another process has registered with the same id.
    Replaced,
}

/// A committed change that is neither logged nor confirmed.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its number.
    pub version: Version,
    /// The change as the change log has it; `None`: it was committed before, and must be logged and confirmed, too.
    pub text: Option<String>,
    /// The last change before it that the change log has.
    pub logged: Version,
    /// The history that it belongs to.
    pub history: String,
    /// The other replicas, which may decide without it.
    pub others: Vec<Replica>,
    /// The longest bound of all replicas.
    pub bound: Bound,
}

const OTHERS_AND_LOGGED: &str = "SELECT replica.id, replica.address, replica.bound_ms, fence.history, fence.logged \
    FROM fence LEFT JOIN replica ON replica.id <> $1";
// One statement, so that all of it is of one moment.
const LOOK: &str = "SELECT fence.version, replica.instance, change.writes::text, fence.history, replica.suspect, fence.logged, \
    (SELECT max(bound_ms) FROM replica) FROM fence LEFT JOIN change ON change.version > $1 LEFT JOIN replica ON replica.id = $2 ORDER BY change.version";

impl FleetIdentities {
    /// Returns the identities in this database for this replica.
    pub fn new(database: Database, (replica, instance): (ReplicaId, String), bound: Bound) -> Self {
        Self { database, replica, instance, bound, uses_read: Arc::default() }
    }

    /// Returns the identities in this database, as no replica sees them: for commands.
    pub fn of_nobody(database: Database, bound: Bound) -> Self {
        let (replica, instance) = (ReplicaId::from_random(random::bytes()), hex::encode(random::bytes::<16>()));
        Self::new(database, (replica, instance), bound)
    }

    /// Returns the database.
    pub(in crate::store) fn database(&self) -> &Database {
        &self.database
    }

    /// Returns all identities.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a record is damaged.
    pub async fn load(&self) -> Result<Snapshot, StoreError> {
        let (version, history, rows) = self.database.run(|client| Box::pin(changes::all(client))).await?;
        Ok(Snapshot { directory: changes::directory_of(&rows)?, version, history })
    }

    /// Returns what has changed since the known change, within this time.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond in time, or a record is damaged.
    pub async fn look(&self, known: &State, limit: Duration) -> Result<Look, StoreError> {
        let (since, replica) = (signed(known.version), self.replica.to_string());
        let look = work(move |client| {
            Box::pin(async move { client.query_typed(LOOK, &[(&since, Type::INT8), (&replica, Type::TEXT)]).await })
        });
        let rows = self.database.look(limit, look).await?;
        let first = rows.first().ok_or_else(|| StoreError::Damaged("the row of the last change is gone".to_owned()))?;
        let (newest, history): (_, String) = (unsigned(first.get(0)), first.get(3));
        let registered = match first.get::<_, Option<&str>>(1) {
            Some(instance) if instance != self.instance => Registered::Replaced,
            Some(_) if first.get::<_, Option<bool>>(4) == Some(false) => Registered::Yes,
            Some(_) | None => Registered::No,
        };
        let changes = rows.iter().filter_map(|row| row.get::<_, Option<&str>>(2)).map(change_of);
        let changes = complete(known.version, newest, changes.collect::<Result<_, _>>()?);
        let missed = match changes.filter(|_| history == known.history) {
            Some(changes) => Missed::Changes { history: history.clone(), changes },
            None => Missed::Everything(Box::new(self.load().await?)),
        };
        let longest_bound = self.bound.max(Bound(duration(first.get::<_, Option<i64>>(6).unwrap_or_default())));
        Ok(Look { missed, registered, newest, logged: unsigned(first.get(5)), history, longest_bound })
    }

    /// Returns a state that was read before as a change that the replicas which are registered now may not have: later
    /// ones load a later state.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or has another history by now.
    pub async fn committed(&self, state: &State) -> Result<Committed, StoreError> {
        let replica = self.replica.to_string();
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(OTHERS_AND_LOGGED, &[(&replica, Type::TEXT)]).await })
        });
        let rows = self.database.run(read).await?;
        let first = rows.first().filter(|first| first.get::<_, &str>(3) == state.history);
        let first = first.ok_or_else(|| FleetError::Refused("another history of changes has begun".to_owned()))?;
        let logged = unsigned(first.get(4));
        let is_replica = |row: &&Row| row.get::<_, Option<&str>>(0).is_some();
        let others: Vec<Replica> = rows.iter().filter(is_replica).map(replica_of).collect::<Result<_, _>>()?;
        Ok(Committed::new(self, state.clone(), None, logged, others))
    }
}

impl Committed {
    /// Describes a change of these identities that the other replicas may not have.
    fn new(
        identities: &FleetIdentities,
        State { history, version }: State,
        text: Option<String>,
        logged: Version,
        others: Vec<Replica>,
    ) -> Self {
        let bound = others.iter().fold(identities.bound, |bound, other| bound.max(other.bound));
        Self { version, text, logged, history, others, bound }
    }
}
