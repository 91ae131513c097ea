//! The restore of a backup into the database of a fleet, which must be empty: a database with identities is replaced by
//! the tools of PostgreSQL, which keep everything else in it.

use std::path::Path;

use super::{RestoreError, restored, skip_numbers};
use crate::admin::engines::Engines;
use crate::admin::resealing::reseal;
use crate::auth::fleet_secret::Purpose;
use crate::domain::directory::Service;
use crate::store::all_identities::AllIdentities;
use crate::store::embedded::export;
use crate::store::embedded::identity::EmbeddedIdentities;
use crate::store::embedded::restorable::Backup;
use crate::store::error::StoreError;
use crate::store::fleet::{Database, Moving};

/// Result of a restore into a fleet.
#[derive(Debug)]
pub struct RestoredToFleet {
    /// Number of users.
    pub users: usize,
    /// Number of groups.
    pub groups: usize,
    /// Number of tokens that are not deleted.
    pub tokens: usize,
    /// True if the last change of the backup was incomplete, and was left out.
    pub incomplete: bool,
    /// The accounts of groups whose passwords must be entered again, each with its group and upstream.
    pub to_enter: Vec<String>,
}

/// Restores `from` (a backup, an export or a journal) into the database of a fleet. `up_to` is the number of the last
/// change of a journal that is restored.
///
/// # Errors
/// The backup cannot be read or has no user, an engine fails, or the database has identities.
pub async fn restore_into_fleet(
    from: &Path,
    up_to: Option<u64>,
    engines: &Engines,
) -> Result<RestoredToFleet, RestoreError> {
    let backup =
        export::read_up_to(from, up_to).map_err(|error| RestoreError::Export { path: from.to_owned(), error })?;
    let Backup { mut directory, mut events, number, incomplete, beside, .. } = backup;
    if directory.is_empty() {
        return Err(RestoreError::Empty(from.to_owned()));
    }
    let secret = engines.secret()?;
    let to_enter = reseal(&mut directory, beside.account_keys, secret.keys(Purpose::Accounts))?;
    skip_numbers(&mut directory, &Service::default());
    events.add(&restored(number)).map_err(RestoreError::Engine)?;
    let (users, groups) = (directory.users().count(), directory.groups().count());
    let tokens = directory.tokens().count();
    let number = number.saturating_add(EmbeddedIdentities::CHANGES_SKIPPED);
    let events = events.into_events().map_err(RestoreError::Engine)?;
    put(AllIdentities { directory, number, events, ..AllIdentities::default() }, engines, secret.ids()).await?;
    Ok(RestoredToFleet { users, groups, tokens, incomplete, to_enter })
}

async fn put(all: AllIdentities, engines: &Engines, secrets: Vec<String>) -> Result<(), RestoreError> {
    let failed = |error: StoreError| RestoreError::Engine(error);
    let database = Database::connect(&engines.database).await.map_err(failed)?;
    let mut moving = Moving::begin(&database).await.map_err(failed)?;
    if moving.found().has_identities {
        return Err(RestoreError::Occupied);
    }
    if moving.found().replicas > 0 {
        return Err(RestoreError::Replicas(moving.found().replicas));
    }
    moving.note_secret(secrets).await.map_err(failed)?;
    moving.put_identities(all).await.map_err(failed)?;
    moving.commit("backup".to_owned()).await.map_err(RestoreError::UnknownEnd)?;
    Ok(())
}
