//! The turn to make a change: an open transaction that has the lock of `fence`.

use std::time::Duration;

use deadpool_postgres::Object;
use futures::future::try_join4;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::{self, ChangeText, change_of, complete, signed, unsigned};
use super::written::Changed;
use super::{Committed, FleetIdentities};
use crate::auth::random;
use crate::domain::audit::Event;
use crate::domain::directory::{Version, Write};
use crate::domain::fleet::State;
use crate::store::entry::Entry;
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::database::{self, begin_with_limits, refused, run_within, work};
use crate::store::fleet::events;
use crate::store::fleet::replicas::{Replica, replica_of};
use crate::store::fleet::run_on;
use crate::store::snapshot::Snapshot;

/// The turn to make a change. Dropped without a commit, it closes its connection, which ends the transaction.
pub struct FleetTurn {
    identities: FleetIdentities,
    connection: Option<Object>,
    /// The identities after the last change.
    pub(in crate::store) newest: Snapshot,
    fence: Fence,
    /// The other replicas that are registered.
    others: Vec<Replica>,
}

/// The row `fence`, which is locked.
struct Fence {
    /// The last change.
    state: State,
    /// The last change that the change log has.
    logged: Version,
    /// The number of the last audit event.
    last_event: u64,
}

/// A transaction that has just got the lock, and what it has found.
struct Opened {
    connection: Object,
    fence: Fence,
    /// The changes after the known one.
    changes: Vec<Row>,
    others: Vec<Replica>,
}

/// Maximum number of attempts to write a change.
const MAX_WRITE_ATTEMPTS: usize = 3;
/// Maximum time for each step of a change.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
const FENCE: &str = "SELECT version, logged, event, history FROM fence FOR UPDATE";
const CHANGES: &str = "SELECT version, writes::text FROM change WHERE version > $1 ORDER BY version";
const OTHERS: &str = "SELECT id, address, bound_ms FROM replica WHERE id <> $1";
impl FleetIdentities {
    /// Waits for the turn to make the next change, after the known state.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a record is damaged.
    pub async fn begin(&self, known: Snapshot) -> Result<FleetTurn, StoreError> {
        let Opened { connection, fence, changes, others } = self.open_turn(known.version).await?;
        let mut turn =
            FleetTurn { identities: self.clone(), connection: Some(connection), newest: known, fence, others };
        let changes = changes.iter().map(|row| change_of(row.get(1))).collect::<Result<_, _>>()?;
        let changes = complete(turn.newest.version, turn.fence.state.version, changes);
        match changes.filter(|_| turn.newest.history == turn.fence.state.history) {
            Some(changes) => turn.newest.follow(&changes),
            None => turn.read_everything().await?,
        }
        Ok(turn)
    }

    /// Opens a transaction, and waits for the lock. Its changes are those after `since`.
    async fn open_turn(&self, since: Version) -> Result<Opened, StoreError> {
        let (database, replica, since) = (self.database.clone(), self.replica.to_string(), signed(since));
        // A replica that stands still in its turn delays the others no longer than this. One on a busy machine may need
        // some time.
        let begin = begin_with_limits(self.bound.0 * 2);
        run_on(self.database.runtime(), async move {
            let connection = database.open().await?;
            let open = work(move |client| {
                Box::pin(async move {
                    // Sent together. Each statement sees what was committed before the lock was granted.
                    try_join4(
                        client.batch_execute(&begin),
                        client.query_typed_one(FENCE, &[]),
                        client.query_typed(CHANGES, &[(&since, Type::INT8)]),
                        client.query_typed(OTHERS, &[(&replica, Type::TEXT)]),
                    )
                    .await
                })
            });
            let (((), fence, changes, others), connection) = run_within(connection, STEP_TIMEOUT, open).await?;
            let others = others.iter().map(replica_of).collect::<Result<_, _>>()?;
            Ok(Opened { connection, fence: Fence::of(&fence), changes, others })
        })
        .await
    }
}

impl FleetTurn {
    /// Writes a change with its audit events, and ends the turn. Without anything to write it returns the last change,
    /// which another replica may not have yet: what was decided on it must not be known before that one has.
    ///
    /// # Errors
    ///
    /// Fails if the database refuses it or cannot be reached. [`FleetError::Unknown`]: it may be stored.
    pub async fn commit(mut self, writes: &[Write], events: &[Event]) -> Result<Committed, StoreError> {
        if writes.is_empty() && events.is_empty() {
            self.end().await?;
            return Ok(self.committed(self.newest.version, None));
        }
        let version = self.newest.version.next();
        let entries = writes.iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
        let text = serde_json::to_string(&ChangeText { version, writes: entries.clone() })?;
        let id = hex::encode(random::bytes::<16>());
        for attempt in 1..=MAX_WRITE_ATTEMPTS {
            // Numbered anew: others may have noted events since the turn was lost.
            let (events, last_event) = events::numbered(events, self.fence.last_event)?;
            let change =
                Changed { version, id: id.clone(), text: text.clone(), entries: entries.clone(), events, last_event };
            match self.write(change).await {
                Ok(()) => break,
                Err(error @ StoreError::Fleet(FleetError::Unknown)) => return Err(error),
                Err(error) if attempt == MAX_WRITE_ATTEMPTS => return Err(error),
                // The turn is lost, as after a cut connection or a long pause of this process. The change still holds
                // if no other replica has made one meanwhile.
                Err(error) => self.begin_again().await.map_err(|_| error)?,
            }
        }
        Ok(self.committed(version, Some(text)))
    }

    /// Returns a change with those that must confirm it. The replicas are those of the turn in which it was committed.
    fn committed(&mut self, version: Version, text: Option<String>) -> Committed {
        let (others, history) = (std::mem::take(&mut self.others), self.newest.history.clone());
        Committed::new(&self.identities, State { history, version }, text, self.fence.logged, others)
    }

    /// Writes the change and ends the turn.
    ///
    /// # Errors
    ///
    /// Fails with [`FleetError::Unknown`] if it may be stored. After any other error it is not.
    async fn write(&mut self, change: Changed) -> Result<(), StoreError> {
        let connection = self.connection.take().ok_or(FleetError::Unknown)?;
        let id = change.id.clone();
        let write = work(move |client| Box::pin(change.write(client)));
        let ended = run_on(self.identities.database.runtime(), async move {
            let ((), connection) = run_within(connection, STEP_TIMEOUT, write).await?;
            let commit = work(|client| Box::pin(async { client.batch_execute("COMMIT").await }));
            Ok(run_within(connection, STEP_TIMEOUT, commit).await.map(drop))
        });
        let Err(error) = ended.await? else { return Ok(()) };
        match self.identities.is_stored(&id).await {
            Some(true) => Ok(()),
            Some(false) => Err(error),
            None => Err(FleetError::Unknown.into()),
        }
    }

    /// Waits for the turn again, after it was lost.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or another change was made meanwhile.
    async fn begin_again(&mut self) -> Result<(), StoreError> {
        let Opened { connection, fence, others, .. } = self.identities.open_turn(self.newest.version).await?;
        if fence.state != self.fence.state {
            database::close(connection);
            return Err(FleetError::Refused("another replica has made a change meanwhile".to_owned()).into());
        }
        // A replica may have registered meanwhile.
        (self.connection, self.fence, self.others) = (Some(connection), fence, others);
        Ok(())
    }

    /// Ends the turn without a change.
    async fn end(&mut self) -> Result<(), StoreError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        run_on(self.identities.database.runtime(), async move {
            let roll_back = work(|client| Box::pin(async { client.batch_execute("ROLLBACK").await }));
            run_within(connection, STEP_TIMEOUT, roll_back).await.map(drop)
        })
        .await
    }

    async fn read_everything(&mut self) -> Result<(), StoreError> {
        let Some(connection) = &self.connection else { return Err(FleetError::Unknown.into()) };
        let replica = self.identities.replica;
        tracing::warn!(%replica, "all identities are read again: the changes since the known ones are not kept");
        let rows = connection.query_typed(changes::RECORDS, &[]).await.map_err(refused)?;
        let State { history, version } = self.fence.state.clone();
        self.newest = Snapshot { directory: changes::directory_of(&rows)?, version, history };
        Ok(())
    }
}

impl Drop for FleetTurn {
    fn drop(&mut self) {
        self.connection.take().into_iter().for_each(database::close);
    }
}

impl Fence {
    fn of(row: &Row) -> Self {
        let state = State { version: unsigned(row.get(0)), history: row.get(3) };
        Self { state, logged: unsigned(row.get(1)), last_event: row.get::<_, i64>(2).unsigned_abs() }
    }
}
