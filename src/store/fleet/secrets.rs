//! The secret with which the replicas of a fleet sign now, as the database knows it: by an id, from which the secret
//! cannot be computed. A replica that has another secret alone would refuse what the others sign, and they what it
//! signs, so that it is refused at its start.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::database::{Database, Value, work};
use super::moving::Moving;
use crate::store::error::{FleetError, StoreError};

const EXISTS: &str = "SELECT to_regclass('fleet_secret') IS NOT NULL";
const FIND: &str = "SELECT id FROM fleet_secret";
// The first secret of the file signs from now on. It takes the place of another one that the file has, too.
const NOTE: &str = "INSERT INTO fleet_secret (id) VALUES ($1) ON CONFLICT (one) DO UPDATE \
    SET id = excluded.id, noted_at = CASE WHEN fleet_secret.id = excluded.id THEN fleet_secret.noted_at ELSE now() END \
    WHERE fleet_secret.id = ANY($2) RETURNING id";

impl Database {
    /// Checks that one of the secrets with these ids is the one with which the replicas sign now. A database that no
    /// replica has used fits all.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. [`FleetError::OtherSecret`]: it has the id of another secret.
    pub async fn check_secret(&self, ids: &[String]) -> Result<(), StoreError> {
        let found = self.run(work(|client| Box::pin(found(client)))).await?;
        if found.is_none_or(|id| ids.contains(&id)) { Ok(()) } else { Err(FleetError::OtherSecret.into()) }
    }

    /// Checks the secrets with these ids as [`Self::check_secret`], and records that the first one signs.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::check_secret`].
    pub async fn note_secret(&self, ids: &[String]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let is_noted = self.run(work(move |client| Box::pin(async move { note(client, &ids).await }))).await?;
        if is_noted { Ok(()) } else { Err(FleetError::OtherSecret.into()) }
    }
}

impl Moving {
    /// Records that the first of the secrets with these ids signs, in the transaction of the move.
    ///
    /// # Errors
    ///
    /// Fails as [`Database::check_secret`].
    pub async fn note_secret(&mut self, ids: Vec<String>) -> Result<(), StoreError> {
        let note = work(move |client| Box::pin(async move { note(client, &ids).await }));
        if self.step(note).await? { Ok(()) } else { Err(FleetError::OtherSecret.into()) }
    }
}

async fn found(client: &mut Client) -> Result<Option<String>, Error> {
    // Before the first replica of this release has started.
    if !client.query_typed_one(EXISTS, &[]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    Ok(client.query_typed_opt(FIND, &[]).await?.map(|row| row.get(0)))
}

/// Records that the first of the secrets with these ids signs. Returns false if none of them is the present one.
async fn note(client: &Client, ids: &[String]) -> Result<bool, Error> {
    let ids = ids.to_vec();
    let first = ids.first().cloned().unwrap_or_default();
    let values: [Value<'_>; 2] = [(&first, Type::TEXT), (&ids, Type::TEXT_ARRAY)];
    Ok(client.query_typed_opt(NOTE, &values).await?.is_some())
}
