//! Check of the engines that a replica would share with others: connects to the database, and writes, reads and deletes
//! an object in the bucket. It upgrades nothing.

use std::sync::Arc;

use super::fleet;
use crate::auth::fleet_secret::FleetSecret;
use crate::settings::{Settings, SettingsError, SharedEngines};
use crate::store::error::{FleetError, StoreError};
use crate::store::fleet::{ChangeLog, Database, FleetIdentities};

/// Returns the problems with the engines that these settings name.
pub fn check_engines(settings: &Settings) -> Vec<SettingsError> {
    let Some(options) = settings.fleet.shared() else { return Vec::new() };
    // On a thread of its own: the caller may have an event loop already.
    let tried = std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, std::io::Error>(runtime.block_on(try_out(&options)))
        });
        tried.join().unwrap_or_else(|_| Err(std::io::Error::other("the check has failed")))
    });
    let problems = tried.unwrap_or_else(|error| vec![("database_url", error.to_string())]);
    problems.into_iter().map(|(key, problem)| settings.refuse(&["fleet", key], problem)).collect()
}

async fn try_out(options: &SharedEngines) -> Vec<(&'static str, String)> {
    // A secret that cannot be used is reported by the check of the files.
    let secret = fleet::secret(&options.secret_file).ok().map(Arc::new);
    let (database, bucket) =
        futures::future::join(try_database(options, secret.as_deref()), try_bucket(options, secret.as_ref())).await;
    let problem = |key, tried: Result<(), StoreError>| Some((key, tried.err()?.to_string()));
    let key = match database {
        Err(StoreError::Fleet(FleetError::OtherSecret)) => "secret_file",
        _ => "database_url",
    };
    [problem(key, database), problem("bucket_url", bucket)].into_iter().flatten().collect()
}

async fn try_database(options: &SharedEngines, secret: Option<&FleetSecret>) -> Result<(), StoreError> {
    let database = Database::try_out(&options.database).await?;
    match secret {
        Some(secret) => database.check_secret(&secret.ids()).await,
        None => Ok(()),
    }
}

async fn try_bucket(options: &SharedEngines, secret: Option<&Arc<FleetSecret>>) -> Result<(), StoreError> {
    let Some(secret) = secret else { return Ok(()) };
    // Only their thread is used: no connection is made.
    let identities = FleetIdentities::of_nobody(Database::unconnected(&options.database)?, options.bound);
    ChangeLog::new(&options.bucket, &identities, secret.clone())?.check().await
}
