//! Identities in the database of a fleet. The row `fence` has the number of the last change; its lock is the turn to
//! make the next one, so that changes of all replicas come one after the other, without gaps in their numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use deadpool_postgres::Object;
use futures::future::try_join4;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::database::{self, Database, TRANSACTION_LIMITS, refused, run_within, work};
use super::events::{self, NumberedEvent};
use super::replicas::{Replica, duration, replica_of};
use super::run_on;
use crate::auth::random;
use crate::domain::audit::Event;
use crate::domain::directory::{Directory, Version, Write};
use crate::domain::fleet::State;
use crate::domain::fleet::validity::Bound;
use crate::domain::id::ReplicaId;
use crate::store::entry::{Entry, parse};
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

/// The turn to make a change: an open transaction that has the lock of `fence`. Dropped without a commit, it closes its
/// connection, which ends the transaction.
pub struct FleetTurn {
    database: Database,
    connection: Option<Object>,
    replica: ReplicaId,
    bound: Bound,
    /// The identities after the last change.
    pub(in crate::store) newest: Snapshot,
    /// The last change that the change log has.
    logged: Version,
    /// The number of the last audit event.
    last_event: u64,
    /// The other replicas that are registered.
    others: Vec<Replica>,
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

/// A change as the change log and the table `change` have it.
#[derive(Serialize, Deserialize)]
struct ChangeText {
    version: Version,
    writes: Vec<Entry>,
}

/// Number of attempts to write a change.
const ATTEMPTS: usize = 3;
/// Maximum time for each step of a change.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a writer tries to find out whether its change is stored, after it has lost its connection.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between such attempts.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(200);
/// Time in seconds for which changes are kept.
const KEPT_SECS: i64 = 7 * 24 * 3600;

const VERSION: &str = "SELECT version, logged, event, history FROM fence FOR UPDATE";
const CHANGES: &str = "SELECT version, writes::text FROM change WHERE version > $1 ORDER BY version";
const OTHERS: &str = "SELECT id, address, bound_ms FROM replica WHERE id <> $1";
const RECORDS: &str = "SELECT key, value::text FROM record";
// One statement, so that all of it is of one moment.
const LOOK: &str = "SELECT fence.version, replica.instance, change.writes::text, fence.history, replica.suspect, fence.logged, \
    (SELECT max(bound_ms) FROM replica) FROM fence LEFT JOIN change ON change.version > $1 LEFT JOIN replica ON replica.id = $2 ORDER BY change.version";
const PUT: &str = "INSERT INTO record (key, value) SELECT key, value::json FROM unnest($1::text[], $2::text[]) AS new (key, value) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const OTHERS_AND_LOGGED: &str = "SELECT replica.id, replica.address, replica.bound_ms, fence.history, fence.logged \
    FROM fence LEFT JOIN replica ON replica.id <> $1";
const REMOVE: &str = "DELETE FROM record WHERE key = ANY($1)";
const ADVANCE: &str = "WITH fence AS (UPDATE fence SET version = $1, event = $2) \
    INSERT INTO change (version, id, writes) VALUES ($1, $3, $4::text::json)";
const FIND: &str = "SELECT version FROM change WHERE id = $1";

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
        let (version, history, rows) = self.database.run(|client| Box::pin(all(client))).await?;
        Ok(Snapshot { directory: directory_of(&rows)?, version, history })
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
        let bound = others.iter().fold(self.bound, |bound, other| bound.max(other.bound));
        let State { history, version } = state.clone();
        Ok(Committed { version, text: None, logged, history, others, bound })
    }

    /// Waits for the turn to make the next change, after the known state.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a record is damaged.
    pub async fn begin(&self, known: Snapshot) -> Result<FleetTurn, StoreError> {
        let this = self.clone();
        run_on(self.database.runtime(), async move {
            let connection = this.database.open().await?;
            let (since, bound) = (signed(known.version), this.bound);
            let replica = this.replica.to_string();
            let begin = work(move |client| Box::pin(begun(client, since, replica, bound)));
            let (begun, connection) = run_within(connection, STEP_TIMEOUT, begin).await?;
            let mut turn = FleetTurn {
                database: this.database,
                connection: Some(connection),
                replica: this.replica,
                bound,
                newest: known,
                logged: unsigned(begun.fence.get(1)),
                last_event: begun.fence.get::<_, i64>(2).unsigned_abs(),
                others: begun.others.iter().map(replica_of).collect::<Result<_, _>>()?,
            };
            let changes = begun.changes.iter().map(|row| change_of(row.get(1))).collect::<Result<_, _>>()?;
            let changes = complete(turn.newest.version, unsigned(begun.fence.get(0)), changes);
            match changes.filter(|_| turn.newest.history == begun.fence.get::<_, &str>(3)) {
                Some(changes) => turn.newest.follow(&changes),
                None => turn.newest = turn.read_everything().await?,
            }
            Ok(turn)
        })
        .await
    }

    /// Forgets changes that are so old that no replica needs them. Returns their numbers.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_old_changes(&self) -> Result<Vec<Version>, StoreError> {
        // The last change stays, so that a replica that has it finds no gap.
        const FORGET: &str = "DELETE FROM change WHERE at < now() - make_interval(secs => $1) \
            AND version < (SELECT logged FROM fence) RETURNING version";
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let kept = KEPT_SECS as f64;
        let forget =
            work(move |client| Box::pin(async move { client.query_typed(FORGET, &[(&kept, Type::FLOAT8)]).await }));
        Ok(self.database.run(forget).await?.iter().map(|row| unsigned(row.get(0))).collect())
    }

    /// Returns the changes after `from`, up to `to`, as the change log has them.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn texts(&self, from: Version, to: Version) -> Result<Vec<(Version, String)>, StoreError> {
        const TEXTS: &str =
            "SELECT version, writes::text FROM change WHERE version > $1 AND version <= $2 ORDER BY version";
        let (from, to) = (signed(from), signed(to));
        let read = work(move |client| {
            Box::pin(async move { client.query_typed(TEXTS, &[(&from, Type::INT8), (&to, Type::INT8)]).await })
        });
        Ok(self.database.run(read).await?.iter().map(|row| (unsigned(row.get(0)), row.get(1))).collect())
    }

    /// Lets another history of changes begin after the change `before`, unless another replica has begun one already.
    /// Returns the present one, and the last change that its log has. Their logs must exist.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn begin_history(
        &self,
        former: &str,
        next: &str,
        before: Version,
    ) -> Result<(String, Version), StoreError> {
        const BEGIN: &str = "UPDATE fence SET history = $2, logged = $3 WHERE history = $1";
        let (former, next, logged) = (former.to_owned(), next.to_owned(), signed(before));
        let begin = work(move |client| {
            Box::pin(async move {
                let values = [(&former as _, Type::TEXT), (&next as _, Type::TEXT), (&logged as _, Type::INT8)];
                client.execute_typed(BEGIN, &values).await?;
                client.query_typed_one("SELECT history, logged FROM fence", &[]).await
            })
        });
        let row = self.database.run(begin).await?;
        Ok((row.get(0), unsigned(row.get(1))))
    }

    /// Returns the last change, its history, and whether the log of the first history exists.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn state(&self) -> Result<(State, bool), StoreError> {
        const STATE: &str = "SELECT version, history, begun FROM fence";
        let read = work(|client| Box::pin(async move { client.query_typed_one(STATE, &[]).await }));
        let row = self.database.run(read).await?;
        Ok((State { version: unsigned(row.get(0)), history: row.get(1) }, row.get(2)))
    }

    /// Records that the log of the first history exists.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_begun(&self) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE fence SET begun = true";
        let note = work(|client| Box::pin(async move { client.execute_typed(NOTE, &[]).await }));
        self.database.run(note).await.map(drop)
    }

    /// Records that the change log has all changes up to this one.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_logged(&self, history: &str, version: Version) -> Result<(), StoreError> {
        const NOTE: &str = "UPDATE fence SET logged = greatest(logged, $1) WHERE history = $2";
        let (version, history) = (signed(version), history.to_owned());
        let note = work(move |client| {
            Box::pin(async move { client.execute_typed(NOTE, &[(&version, Type::INT8), (&history, Type::TEXT)]).await })
        });
        self.database.run(note).await.map(drop)
    }
}

/// The rows with which a turn begins.
struct Begun {
    fence: Row,
    changes: Vec<Row>,
    others: Vec<Row>,
}

async fn begun(client: &mut Client, since: i64, replica: String, bound: Bound) -> Result<Begun, tokio_postgres::Error> {
    // A replica that stands still in its turn delays the others no longer than this. One on a busy machine may need
    // some time.
    let begin = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {0}; SET LOCAL statement_timeout = '4s'; SET LOCAL synchronous_commit = on",
        (bound.0 * 2).as_millis()
    );
    // Sent together. Each statement sees what was committed before the lock was granted.
    let (_, fence, changes, others) = try_join4(
        client.batch_execute(&begin),
        client.query_typed_one(VERSION, &[]),
        client.query_typed(CHANGES, &[(&since, Type::INT8)]),
        client.query_typed(OTHERS, &[(&replica, Type::TEXT)]),
    )
    .await?;
    Ok(Begun { fence, changes, others })
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
        for attempt in 1..=ATTEMPTS {
            // Numbered anew: others may have noted events since the turn was lost.
            let (events, last_event) = events::numbered(events, self.last_event)?;
            let change =
                Changed { version, id: id.clone(), text: text.clone(), entries: entries.clone(), events, last_event };
            match self.write(change).await {
                Ok(()) => break,
                Err(error @ StoreError::Fleet(FleetError::Unknown)) => return Err(error),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                // The turn is lost, as after a cut connection or a long pause of this process. The change still holds
                // if no other replica has made one meanwhile.
                Err(error) => self.begin_again().await.map_err(|_| error)?,
            }
        }
        Ok(self.committed(version, Some(text)))
    }

    /// Returns a change with those that must confirm it. The replicas are those of the turn in which it was committed.
    fn committed(&mut self, version: Version, text: Option<String>) -> Committed {
        let others = std::mem::take(&mut self.others);
        let bound = others.iter().fold(self.bound, |bound, other| bound.max(other.bound));
        Committed { version, text, logged: self.logged, history: self.newest.history.clone(), others, bound }
    }

    /// Writes the change and ends the turn.
    ///
    /// # Errors
    ///
    /// Fails with [`FleetError::Unknown`] if it may be stored. After any other error it is not.
    async fn write(&mut self, change: Changed) -> Result<(), StoreError> {
        let connection = self.connection.take().ok_or(FleetError::Unknown)?;
        let (database, id) = (self.database.clone(), change.id.clone());
        let write = work(move |client| Box::pin(change.write(client)));
        let ended = run_on(database.runtime(), async move {
            let ((), connection) = run_within(connection, STEP_TIMEOUT, write).await?;
            let commit = work(|client| Box::pin(async { client.batch_execute("COMMIT").await }));
            Ok(run_within(connection, STEP_TIMEOUT, commit).await.map(drop))
        });
        let Err(error) = ended.await? else { return Ok(()) };
        match is_stored(&database, &id).await {
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
        let (database, replica) = (self.database.clone(), self.replica.to_string());
        let (since, bound) = (signed(self.newest.version), self.bound);
        let (begun, connection) = run_on(self.database.runtime(), async move {
            let connection = database.open().await?;
            run_within(connection, STEP_TIMEOUT, work(move |client| Box::pin(begun(client, since, replica, bound))))
                .await
        })
        .await?;
        let is_same =
            unsigned(begun.fence.get(0)) == self.newest.version && begun.fence.get::<_, &str>(3) == self.newest.history;
        if !is_same {
            database::close(connection);
            return Err(FleetError::Refused("another replica has made a change meanwhile; try again".to_owned()).into());
        }
        self.logged = unsigned(begun.fence.get(1));
        self.last_event = begun.fence.get::<_, i64>(2).unsigned_abs();
        // A replica may have registered meanwhile.
        self.others = begun.others.iter().map(replica_of).collect::<Result<_, _>>()?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Ends the turn without a change.
    async fn end(&mut self) -> Result<(), StoreError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        run_on(self.database.runtime(), async move {
            let roll_back = work(|client| Box::pin(roll_back(client)));
            run_within(connection, STEP_TIMEOUT, roll_back).await.map(drop)
        })
        .await
    }

    async fn read_everything(&mut self) -> Result<Snapshot, StoreError> {
        let Some(connection) = &mut self.connection else { return Err(FleetError::Unknown.into()) };
        tracing::warn!(replica = %self.replica, "all identities are read again: the changes since the known ones are not kept");
        let fence = connection.query_typed_one(VERSION, &[]).await.map_err(refused)?;
        let rows = connection.query_typed(RECORDS, &[]).await.map_err(refused)?;
        Ok(Snapshot { directory: directory_of(&rows)?, version: unsigned(fence.get(0)), history: fence.get(3) })
    }
}

async fn roll_back(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("ROLLBACK").await
}

impl Drop for FleetTurn {
    fn drop(&mut self) {
        self.connection.take().into_iter().for_each(database::close);
    }
}

/// A change that is being written.
struct Changed {
    version: Version,
    id: String,
    text: String,
    entries: Vec<Entry>,
    events: Vec<NumberedEvent>,
    last_event: u64,
}

impl Changed {
    async fn write(self, client: &mut Client) -> Result<(), tokio_postgres::Error> {
        let (mut puts, mut removals) = (std::collections::BTreeMap::new(), std::collections::BTreeSet::new());
        // The last write of a key counts.
        for Entry { key, value } in &self.entries {
            match value {
                Some(value) => {
                    removals.remove(key.as_str());
                    puts.insert(key.as_str(), value.get());
                }
                None => {
                    puts.remove(key.as_str());
                    removals.insert(key.as_str());
                }
            }
        }
        let (keys, values): (Vec<_>, Vec<_>) = puts.into_iter().unzip();
        let removals: Vec<_> = removals.into_iter().collect();
        let (version, event) = (signed(self.version), self.last_event.cast_signed());
        // Sent together.
        try_join4(
            client.execute_typed(REMOVE, &[(&removals, Type::TEXT_ARRAY)]),
            client.execute_typed(PUT, &[(&keys, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)]),
            client.execute_typed(
                ADVANCE,
                &[(&version, Type::INT8), (&event, Type::INT8), (&self.id, Type::TEXT), (&self.text, Type::TEXT)],
            ),
            events::insert(client, &self.events, true),
        )
        .await
        .map(drop)
    }
}

/// Finds out whether the change with this id is stored, after its connection was lost; `None`: the database cannot be
/// reached.
async fn is_stored(database: &Database, id: &str) -> Option<bool> {
    let find = |id: String| {
        work(move |client| {
            Box::pin(async move {
                // The lock is granted when the lost transaction has ended, one way or the other.
                client
                    .batch_execute(&format!("BEGIN; {TRANSACTION_LIMITS}; SELECT version FROM fence FOR UPDATE"))
                    .await?;
                let found = client.query_typed_opt(FIND, &[(&id, Type::TEXT)]).await?;
                client.batch_execute("COMMIT").await?;
                Ok(found.is_some())
            })
        })
    };
    let search = async {
        loop {
            if let Ok(found) = database.run(find(id.to_owned())).await {
                return found;
            }
            tokio::time::sleep(RESOLVE_INTERVAL).await;
        }
    };
    tokio::time::timeout(RESOLVE_TIMEOUT, search).await.ok()
}

async fn all(client: &mut Client) -> Result<(Version, String, Vec<Row>), tokio_postgres::Error> {
    // One snapshot for both statements.
    let transaction = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let transaction = transaction.read_only(true).start().await?;
    let fence = transaction.query_typed("SELECT version, history FROM fence", &[]).await?;
    let rows = transaction.query_typed(RECORDS, &[]).await?;
    transaction.commit().await?;
    let (version, history) = fence.first().map_or_else(Default::default, |row| (unsigned(row.get(0)), row.get(1)));
    Ok((version, history, rows))
}

fn directory_of(rows: &[Row]) -> Result<Directory, StoreError> {
    let records = rows.iter().map(|row| parse(row.get(0), row.get::<_, &str>(1).as_bytes()));
    Ok(Directory::from_records(records.collect::<Result<Vec<_>, _>>()?))
}

/// Parses a change of the change log or of the table `change`.
///
/// # Errors
///
/// Fails if the text is not one.
pub(super) fn change_of(text: &str) -> Result<Change, StoreError> {
    let ChangeText { version, writes } = serde_json::from_str(text)?;
    Ok(Change { version, writes: writes.iter().map(Entry::write).collect::<Result<_, _>>()? })
}

/// Returns the changes if they lead from the known one to the newest without a gap.
fn complete(known: Version, newest: Version, changes: Vec<Change>) -> Option<Vec<Change>> {
    let mut last = known;
    for change in &changes {
        if change.version != last.next() {
            return None;
        }
        last = change.version;
    }
    // A statement that ran after the one for the newest may have seen a later one.
    (known <= newest && newest <= last).then_some(changes)
}

/// Returns a number as the database has it.
pub(super) fn signed(version: Version) -> i64 {
    version.0.cast_signed()
}

fn unsigned(number: i64) -> Version {
    Version(number.cast_unsigned())
}

impl Snapshot {
    /// Applies changes that follow the last one.
    pub fn follow(&mut self, changes: &[Change]) {
        for change in changes {
            self.directory.apply(&change.writes);
            self.version = change.version;
        }
    }
}
