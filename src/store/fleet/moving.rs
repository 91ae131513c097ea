//! The move of identities, and of an index, from another kind of store into an empty database. It is one transaction,
//! so that either all of it is moved or nothing.
//!
//! The move is not written to the change log, because it would be too large for one object: a new history begins after
//! it. A replica that has read the database before reads everything again.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::database::{self, Database, Value, Work, run_within, work};
use super::events::{self, NumberedEvent};
use super::index::additions::{Additions, add_links_and_tags};
use super::index::text_of;
use super::last_uses::UseRows;
use super::moving_rows::ImageRows;
use super::run_on;
use crate::auth::random;
use crate::domain::digest::Digest;
use crate::domain::directory::{Directory, Write};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::last_use::LastUse;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::all_identities::{AllIdentities, KeptEvent};
use crate::store::embedded::index::ImageToMove;
use crate::store::entry::Entry;
use crate::store::error::{FleetError, StoreError};
use crate::store::link::Link;

/// The transaction. Dropped without a commit, it changes nothing.
pub struct Moving {
    database: Database,
    connection: Option<Object>,
    found: FoundState,
    /// Number of the last change that was put, and of the last event.
    version: i64,
    last_event: i64,
}

/// The state of the database before the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundState {
    /// True if it has users, groups or tokens.
    pub has_identities: bool,
    /// The identities that were moved into it when it was empty; `None` if none were.
    pub moved_in: Option<MovedIn>,
    /// Number of the replicas that may use it now.
    pub replicas: u64,
    /// Id of the database in the order of events of cached content.
    pub fleet: String,
    version: i64,
    last_event: i64,
    content_event: i64,
}

/// Identities that were moved into the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedIn {
    /// The installation that they belong to, or another name of where they come from.
    pub source: String,
    /// The number of the last change in them.
    pub version: u64,
    /// The last event of cached content before them.
    pub content_event: i64,
}

/// Maximum time for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of rows that are written at once.
const ROWS_AT_ONCE: usize = 1_000;

// A replica whose host is gone keeps its row for as long as it may go on without the database.
const FOUND: &str = "SELECT EXISTS (SELECT FROM record WHERE key <> 'service'), moved_in.source, moved_in.version, moved_in.content_event, \
    (SELECT count(*) FROM replica WHERE seen_at > now() - make_interval(secs => (without_database_ms + bound_ms) / 1000 + 60)), \
    content_head.id, content_head.number, fence.version, fence.event \
    FROM fence CROSS JOIN content_head LEFT JOIN moved_in ON true";
const PUT: &str = "INSERT INTO record (key, value) SELECT key, value::json FROM unnest($1::text[], $2::text[]) AS new (key, value) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
// The log of the new history is made when it is verified.
const ADVANCE: &str = "UPDATE fence SET version = $1, logged = $1, event = $2, history = $3, begun = false";
const NOTE: &str = "INSERT INTO moved_in (source, version, content_event) VALUES ($1, $2, $3) \
    ON CONFLICT (one) DO UPDATE SET source = excluded.source, version = excluded.version, content_event = excluded.content_event, at = now()";

impl Moving {
    /// Begins the transaction, with the lock of changes: a replica that starts meanwhile makes no first administrator.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a replica makes a change for too long.
    pub async fn begin(database: &Database) -> Result<Self, StoreError> {
        // Between two steps the files of the other store are read.
        const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '120s'; \
            SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL synchronous_commit = on; \
            SELECT version FROM fence FOR UPDATE";
        let opened = database.clone();
        let (row, connection) = run_on(database.runtime(), async move {
            let begin = work(|client| {
                Box::pin(async move {
                    client.batch_execute(BEGIN).await?;
                    client.query_typed_one(FOUND, &[]).await
                })
            });
            run_within(opened.open().await?, STEP_TIMEOUT, begin).await
        })
        .await?;
        let moved_in = row.get::<_, Option<String>>(1).map(|source| MovedIn {
            source,
            version: row.get::<_, i64>(2).cast_unsigned(),
            content_event: row.get(3),
        });
        let found = FoundState {
            has_identities: row.get(0),
            moved_in,
            replicas: row.get::<_, i64>(4).cast_unsigned(),
            fleet: row.get(5),
            content_event: row.get(6),
            version: row.get(7),
            last_event: row.get(8),
        };
        let (version, last_event) = (found.version, found.last_event);
        Ok(Self { database: database.clone(), connection: Some(connection), found, version, last_event })
    }

    /// Returns the state of the database before the move.
    pub fn found(&self) -> &FoundState {
        &self.found
    }

    /// Puts identities into the database.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or refuses them.
    pub async fn put_identities(&mut self, all: AllIdentities) -> Result<(), StoreError> {
        self.put_records(&all.directory).await?;
        self.put_events(all.events).await?;
        self.put_last_uses(all.last_used).await?;
        // A number that no replica has seen.
        self.version = all.number.cast_signed().max(self.found.version + 1);
        Ok(())
    }

    async fn put_records(&mut self, directory: &Directory) -> Result<(), StoreError> {
        let records: Vec<Write> = directory.records().map(Write::Put).collect();
        for some in records.chunks(ROWS_AT_ONCE) {
            let entries = some.iter().map(Entry::of).collect::<Result<Vec<_>, _>>()?;
            let rows =
                entries.into_iter().filter_map(|entry| Some((entry.key, String::from(Box::<str>::from(entry.value?)))));
            let (keys, values): (Vec<String>, Vec<String>) = rows.unzip();
            let put = work(move |client| {
                Box::pin(async move {
                    client.execute_typed(PUT, &[(&keys, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)]).await
                })
            });
            self.step(put).await?;
        }
        Ok(())
    }

    async fn put_events(&mut self, events: Vec<KeptEvent>) -> Result<(), StoreError> {
        let (of_changes, sums): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.of_change);
        for (events, of_change) in [(of_changes, true), (sums, false)] {
            let rows = |event: &KeptEvent| (event.id.0.cast_signed(), event.event.get().to_owned());
            for some in events.chunks(ROWS_AT_ONCE) {
                let rows: Vec<NumberedEvent> = some.iter().map(rows).collect();
                self.last_event = rows.iter().map(|(id, _)| *id).fold(self.last_event, i64::max);
                let put = work(move |client| Box::pin(async move { events::insert(client, &rows, of_change).await }));
                self.step(put).await?;
            }
        }
        Ok(())
    }

    async fn put_last_uses(&mut self, uses: HashMap<CredentialId, LastUse>) -> Result<(), StoreError> {
        let uses: Vec<_> = uses.into_iter().collect();
        for some in uses.chunks(ROWS_AT_ONCE) {
            let rows = UseRows::of(some.iter().cloned())?;
            self.step(work(move |client| Box::pin(async move { rows.write(client).await }))).await?;
        }
        Ok(())
    }

    /// Puts granted links of a group into the index.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(in crate::store) async fn put_links(
        &mut self,
        group: GroupId,
        links: Vec<(Origin, Digest, Link)>,
    ) -> Result<(), StoreError> {
        for some in links.chunks(ROWS_AT_ONCE) {
            let mut additions = Additions::default();
            for (origin, digest, link) in some {
                additions.links.insert((*digest, group, text_of(origin)?), link.size);
            }
            let put =
                work(move |client| Box::pin(async move { add_links_and_tags(client, &additions).await.map(drop) }));
            self.step(put).await?;
        }
        Ok(())
    }

    /// Puts images of groups, and what their tags stand for, into the index.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(in crate::store) async fn put_images(&mut self, images: &[ImageToMove]) -> Result<(), StoreError> {
        for some in images.chunks(ROWS_AT_ONCE) {
            let (mut additions, mut rows) = (Additions::default(), ImageRows::default());
            for image in some {
                let origin = text_of(&image.key.origin)?;
                if let Reference::Tag(tag) = &image.key.reference
                    && !image.entry.denied
                {
                    let key = (origin.clone(), tag.clone());
                    let entry = additions.tags.entry(key).or_insert(image.entry);
                    // The groups have pulled it at different times.
                    if entry.checked_at < image.entry.checked_at {
                        *entry = image.entry;
                    }
                }
                let reference = image.key.reference.to_string();
                additions.images.insert((image.key.group, origin.clone(), reference.clone()), image.entry);
                rows.add(image, origin, reference);
            }
            let put = work(move |client| {
                Box::pin(async move {
                    let ids = add_links_and_tags(client, &additions).await?;
                    rows.write(client, &ids).await
                })
            });
            self.step(put).await?;
        }
        Ok(())
    }

    /// Ends the transaction. `source` names where the identities come from.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. With [`FleetError::Unknown`], the move may have been committed.
    pub async fn commit(mut self, source: String) -> Result<MovedIn, StoreError> {
        let (version, event, history) = (self.version, self.last_event, hex::encode(random::bytes::<16>()));
        let moved = MovedIn { source, version: version.cast_unsigned(), content_event: self.found.content_event };
        let (source, content_event) = (moved.source.clone(), moved.content_event);
        let advance = work(move |client| {
            Box::pin(async move {
                let values: [Value<'_>; 3] = [(&version, Type::INT8), (&event, Type::INT8), (&history, Type::TEXT)];
                client.execute_typed(ADVANCE, &values).await?;
                let values: [Value<'_>; 3] =
                    [(&source, Type::TEXT), (&version, Type::INT8), (&content_event, Type::INT8)];
                client.execute_typed(NOTE, &values).await
            })
        });
        self.step(advance).await?;
        let commit = work(|client| Box::pin(async { client.batch_execute("COMMIT").await }));
        self.step(commit).await.map_err(|_| FleetError::Unknown)?;
        Ok(moved)
    }

    /// Ends the transaction without a change of the database.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. Nothing is changed then, either.
    pub async fn leave_as_it_is(mut self) -> Result<FoundState, StoreError> {
        self.step(work(|client| Box::pin(async { client.batch_execute("ROLLBACK").await }))).await?;
        Ok(self.found.clone())
    }

    pub(super) async fn step<T: Send + 'static>(
        &mut self,
        step: impl for<'a> FnOnce(&'a mut Client) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.connection.take().ok_or(FleetError::Unknown)?;
        let stepped = run_on(self.database.runtime(), async move { run_within(connection, STEP_TIMEOUT, step).await });
        let (value, connection) = stepped.await?;
        self.connection = Some(connection);
        Ok(value)
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.connection.take().into_iter().for_each(database::close);
    }
}
