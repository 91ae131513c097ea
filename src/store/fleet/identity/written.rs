//! The statements that write a change, and the search for one whose connection was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::try_join4;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::FleetIdentities;
use super::changes::signed;
use crate::domain::directory::Version;
use crate::store::entry::Entry;
use crate::store::fleet::database::{IDLE_TIMEOUT, begin_with_limits, work};
use crate::store::fleet::events::{self, NumberedEvent};

/// A change that is being written.
pub(super) struct Changed {
    pub(super) version: Version,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
    pub(super) events: Vec<NumberedEvent>,
    pub(super) last_event: u64,
}

/// Time for which a writer tries to find out whether its change is stored, after it has lost its connection.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between such attempts.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(200);

const LOCK: &str = "SELECT version FROM fence FOR UPDATE";
const PUT: &str = "INSERT INTO record (key, value) SELECT key, value::json FROM unnest($1::text[], $2::text[]) AS new (key, value) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM record WHERE key = ANY($1)";
const ADVANCE: &str = "WITH fence AS (UPDATE fence SET version = $1, event = $2) \
    INSERT INTO change (version, id, writes) VALUES ($1, $3, $4::text::json)";
const FIND: &str = "SELECT version FROM change WHERE id = $1";

impl Changed {
    /// Writes it, in a transaction that has the lock.
    pub(super) async fn write(self, client: &mut Client) -> Result<(), Error> {
        let (mut puts, mut removals) = (BTreeMap::new(), BTreeSet::new());
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

impl FleetIdentities {
    /// Finds out whether the change with this id is stored, after its connection was lost; `None`: the database cannot
    /// be reached.
    pub(super) async fn is_stored(&self, id: &str) -> Option<bool> {
        let find = |id: String| {
            work(move |client| {
                Box::pin(async move {
                    // The lock is granted when the lost transaction has ended, one way or the other.
                    client.batch_execute(&begin_with_limits(IDLE_TIMEOUT)).await?;
                    client.query_typed_one(LOCK, &[]).await?;
                    let found = client.query_typed_opt(FIND, &[(&id, Type::TEXT)]).await?;
                    client.batch_execute("COMMIT").await?;
                    Ok(found.is_some())
                })
            })
        };
        let search = async {
            loop {
                if let Ok(found) = self.database.run(find(id.to_owned())).await {
                    return found;
                }
                tokio::time::sleep(RESOLVE_INTERVAL).await;
            }
        };
        tokio::time::timeout(RESOLVE_TIMEOUT, search).await.ok()
    }
}
