//! The schema of the database: upgrades at a start, once however many replicas start together, and the refusal of a
//! program that is too old for it.
//!
//! A release works with the schema of the next one, so that replicas are replaced one by one: a migration adds what the
//! next release uses, and removes what none has used since the release before. One that cannot keep to this raises
//! `schema.oldest_reader`.

use std::time::Duration;

use refinery::embed_migrations;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::database::{Database, refused, too_slow, with_causes, work};
use super::options::DatabaseOptions;
use super::run_on;
use crate::store::error::{FleetError, StoreError};

embed_migrations!("src/store/fleet/migrations");

/// Maximum time for the upgrade of the schema, with the wait for other replicas.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of the advisory lock of upgrades of the schema.
const MIGRATION_LOCK: i64 = 0x6470_6d69_6772_6174;

/// The oldest version of PostgreSQL that is supported, as the server states its version.
const OLDEST_SERVER: i32 = 150_000;

const EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";
const OLDEST_READER: &str = "SELECT oldest_reader FROM schema";
const NEWEST: &str = "SELECT max(version) FROM refinery_schema_history";

/// The numbers by which a program knows whether it works with a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// The last migration of the database; 0: it has none.
    newest: i32,
    /// The last migration that a program must know.
    oldest_reader: i32,
}

impl Database {
    /// Upgrades the schema to that of this program. A later one stays as it is.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, if this program is too old for it, or if a migration fails.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let database = self.clone();
        let migrated = run_on(self.runtime(), async move {
            let (lock, mut connection) = (database.open().await?, database.open().await?);
            // The library takes no lock. A lock of a transaction, not of a session, so that it works through a pooler.
            let statement = format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
            lock.batch_execute(&statement).await.map_err(refused)?;
            let client: &mut Client = &mut connection;
            let numbers = numbers(client).await.map_err(refused)?;
            let migrated = match check_oldest(numbers) {
                // One at a time, so that the report of those of a later release is not a line of the log.
                Ok(()) if numbers.newest >= newest_known() => Ok(()),
                Ok(()) => {
                    let done = migrations::runner().set_abort_missing(false).run_async(client).await;
                    done.map(drop).map_err(|error| FleetError::Refused(with_causes(&error)))
                }
                Err(error) => Err(error),
            };
            lock.batch_execute("COMMIT").await.map_err(refused)?;
            Ok(migrated?)
        });
        timeout(MIGRATION_TIMEOUT, migrated).await.unwrap_or_else(|_| Err(too_slow()))
    }

    /// Tries a database out as a start would use it, and upgrades nothing: it can be reached, is recent enough, and
    /// this program may make tables in it and works with those that it has. Returns it, connected.
    ///
    /// # Errors
    ///
    /// Fails if that is not so.
    pub async fn try_out(options: &DatabaseOptions) -> Result<Self, StoreError> {
        const ABOUT: &str = "SELECT current_setting('server_version_num')::integer, current_setting('fsync'), \
            current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')";
        let database = Self::unconnected(options)?;
        let about =
            work(|client| Box::pin(async { Ok((client.query_typed_one(ABOUT, &[]).await?, numbers(client).await?)) }));
        let (about, numbers) = database.run(about).await?;
        let unsuitable = |problem: String| Err(FleetError::UnsuitableDatabase(problem).into());
        let version: i32 = about.get(0);
        if version < OLDEST_SERVER {
            return unsuitable(format!(
                "it is PostgreSQL {}, and {} or newer is needed",
                version / 10_000,
                OLDEST_SERVER / 10_000
            ));
        }
        if about.get::<_, &str>(1) != "on" {
            return unsuitable(
                "it does not force commits to its disk (fsync is off), so that a crash would undo revocations"
                    .to_owned(),
            );
        }
        check_oldest(numbers)?;
        if numbers.newest < newest_known() && !about.get::<_, bool>(2) {
            return unsuitable(
                "this user may not make tables in it: GRANT CREATE ON SCHEMA public TO this user".to_owned(),
            );
        }
        Ok(database)
    }

    /// Checks that this program works with the schema as it is. Upgrades nothing.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or if this program is too old for it. [`FleetError::NoSchema`]: no
    /// replica has used the database, or only replicas of an earlier release.
    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        let found = self.run(work(|client| Box::pin(numbers(client)))).await?;
        check_oldest(found)?;
        if found.newest < newest_known() {
            return Err(FleetError::NoSchema { found: found.newest, known: newest_known() }.into());
        }
        Ok(())
    }
}

async fn numbers(client: &mut Client) -> Result<Numbers, Error> {
    let mut numbers = Numbers::default();
    for (table, statement, number) in [
        ("refinery_schema_history", NEWEST, &mut numbers.newest),
        ("schema", OLDEST_READER, &mut numbers.oldest_reader),
    ] {
        if client.query_typed_one(EXISTS, &[(&table, Type::TEXT)]).await?.get(0) {
            let row = client.query_typed_opt(statement, &[]).await?;
            *number = row.and_then(|row| row.get(0)).unwrap_or_default();
        }
    }
    Ok(numbers)
}

fn check_oldest(found: Numbers) -> Result<(), FleetError> {
    let known = newest_known();
    if found.oldest_reader > known {
        return Err(FleetError::LaterSchema { needed: found.oldest_reader, known });
    }
    Ok(())
}

/// Returns the number of the last migration that this program knows.
fn newest_known() -> i32 {
    migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}
