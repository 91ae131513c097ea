//! All identities of a fleet at one time, for a backup.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::{Client, Error, IsolationLevel, Row};

use super::database::{run_within, work};
use super::identity::FleetIdentities;
use super::last_uses::{self, use_of};
use super::run_on;
use crate::domain::directory::Directory;
use crate::domain::id::EventId;
use crate::store::all_identities::{AllIdentities, KeptEvent};
use crate::store::entry::parse;
use crate::store::error::StoreError;

/// The rows of everything.
struct Rows {
    version: i64,
    records: Vec<Row>,
    events: Vec<Row>,
    last_uses: Vec<Row>,
}

/// Maximum time to read everything.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

impl FleetIdentities {
    /// Returns everything that the database has of identities, at one time. Replicas go on meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn all(&self) -> Result<AllIdentities, StoreError> {
        let database = self.database().clone();
        let (rows, _) = run_on(self.database().runtime(), async move {
            run_within(database.open().await?, READ_TIMEOUT, work(|client| Box::pin(read(client)))).await
        })
        .await?;
        let records = rows.records.iter().map(|row| parse(row.get(0), row.get::<_, &str>(1).as_bytes()));
        let event = |row: &Row| {
            let (id, event) = (EventId(row.get::<_, i64>(0).cast_unsigned()), row.get::<_, String>(2));
            Ok::<_, StoreError>(KeptEvent { id, of_change: row.get(1), event: RawValue::from_string(event)? })
        };
        Ok(AllIdentities {
            directory: Directory::from_records(records.collect::<Result<Vec<_>, _>>()?),
            number: rows.version.cast_unsigned(),
            installation: None,
            events: rows.events.iter().map(event).collect::<Result<_, _>>()?,
            last_used: rows.last_uses.iter().map(use_of).collect::<Result<HashMap<_, _>, _>>()?,
        })
    }
}

async fn read(client: &mut Client) -> Result<Rows, Error> {
    const VERSION: &str = "SELECT version FROM fence";
    const RECORDS: &str = "SELECT key, value::text FROM record";
    const EVENTS: &str = "SELECT id, of_change, event::text FROM event ORDER BY id";
    // One snapshot for all statements.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = transaction.read_only(true).start().await?;
    let rows = Rows {
        version: transaction.query_typed_one(VERSION, &[]).await?.get(0),
        records: transaction.query_typed(RECORDS, &[]).await?,
        events: transaction.query_typed(EVENTS, &[]).await?,
        last_uses: transaction.query_typed(last_uses::USES, &[]).await?,
    };
    transaction.commit().await?;
    Ok(rows)
}
