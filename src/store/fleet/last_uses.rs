//! Times and addresses of the last uses of credentials in the database of a fleet.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::database::{Value, work};
use super::identity::FleetIdentities;
use crate::domain::id::CredentialId;
use crate::domain::last_use::LastUse;
use crate::store::error::StoreError;

/// Time in microseconds for which uses are read once more: replicas write theirs some seconds after them, and their
/// clocks differ.
const OVERLAP: i64 = 60_000_000;

pub(super) const USES: &str = "SELECT credential, at, addresses::text FROM last_use";
const RECENT_USES: &str = "SELECT credential, at, addresses::text FROM last_use WHERE at > $1";
// Of two replicas the later use counts.
const NOTE: &str = "INSERT INTO last_use (credential, at, addresses) \
    SELECT credential, at, addresses::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (credential, at, addresses) \
    ON CONFLICT (credential) DO UPDATE SET at = excluded.at, addresses = excluded.addresses WHERE last_use.at <= excluded.at";
const FORGET: &str = "DELETE FROM last_use WHERE credential = ANY($1)";

impl FleetIdentities {
    /// Returns when and from where each credential was last used, on any replica.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn last_used(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        let read = work(|client| Box::pin(read_uses(client)));
        self.database().run(read).await?.iter().map(use_of).collect()
    }

    /// Returns the last uses on any replica since the last call, and those of a minute before.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn used_since_last_time(&self) -> Result<HashMap<CredentialId, LastUse>, StoreError> {
        let since = self.uses_read.load(Ordering::Relaxed) - OVERLAP;
        let read =
            work(move |client| Box::pin(async move { client.query_typed(RECENT_USES, &[(&since, Type::INT8)]).await }));
        let rows = self.database().run(read).await?;
        let latest = rows.iter().map(|row| row.get::<_, i64>(1)).max();
        if let Some(latest) = latest {
            self.uses_read.fetch_max(latest, Ordering::Relaxed);
        }
        rows.iter().map(use_of).collect()
    }

    /// Records when and from where credentials were last used.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn note_last_used(&self, used: HashMap<CredentialId, LastUse>) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        // In one order, so that two replicas that write the same rows do not wait for one another.
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable_by_key(|(credential, _)| credential.bits());
        let rows = UseRows::of(used)?;
        let note = work(move |client| Box::pin(async move { rows.write(client).await }));
        self.database().run(note).await.map(drop)
    }

    /// Deletes the last uses of these credentials.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_last_used(&self, credentials: Vec<CredentialId>) -> Result<(), StoreError> {
        if credentials.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = credentials.iter().map(CredentialId::to_string).collect();
        let forget = work(move |client| {
            Box::pin(async move { client.execute_typed(FORGET, &[(&ids, Type::TEXT_ARRAY)]).await })
        });
        self.database().run(forget).await.map(drop)
    }
}

/// The columns of last uses.
pub(super) struct UseRows {
    ids: Vec<String>,
    times: Vec<i64>,
    addresses: Vec<String>,
}

impl UseRows {
    pub(super) fn of(used: impl IntoIterator<Item = (CredentialId, LastUse)>) -> Result<Self, StoreError> {
        let mut rows = Self { ids: Vec::new(), times: Vec::new(), addresses: Vec::new() };
        for (credential, last_use) in used {
            rows.ids.push(credential.to_string());
            rows.times.push(last_use.at.as_microsecond());
            rows.addresses.push(serde_json::to_string(&last_use.addresses)?);
        }
        Ok(rows)
    }

    pub(super) async fn write(&self, client: &Client) -> Result<u64, Error> {
        let values: [Value<'_>; 3] =
            [(&self.ids, Type::TEXT_ARRAY), (&self.times, Type::INT8_ARRAY), (&self.addresses, Type::TEXT_ARRAY)];
        client.execute_typed(NOTE, &values).await
    }
}

async fn read_uses(client: &mut Client) -> Result<Vec<Row>, Error> {
    client.query_typed(USES, &[]).await
}

pub(super) fn use_of(row: &Row) -> Result<(CredentialId, LastUse), StoreError> {
    let damaged = |what: &dyn std::fmt::Display| StoreError::Damaged(format!("a time of last use: {what}"));
    let credential = row.get::<_, &str>(0).parse().map_err(|error| damaged(&error))?;
    let at = Timestamp::from_microsecond(row.get(1)).map_err(|error| damaged(&error))?;
    Ok((credential, LastUse { at, addresses: serde_json::from_str(row.get(2))? }))
}
