//! The engines that several replicas share: PostgreSQL for identities, and the change log in an object store.
//!
//! | module | content |
//! |---|---|
//! | [`database`] | connections to PostgreSQL, and the schema |
//! | [`identity`] | identities in the database: loading, changes, looks at what has changed |
//! | [`events`] | audit events and times of last use in the database |
//! | [`claims`] | downloads that replicas share |
//! | [`failed_logins`] | failed logins at all replicas |
//! | [`live_replicas`] | the number of replicas that are alive |
//! | [`replicas`] | the replicas that are registered |
//! | [`sessions`] | sessions of the console |
//! | [`traffic`] | traffic of groups |
//! | [`upstream_reports`] | reports of upstreams about their limits |
//! | [`change_log`] | the changes of identities in the object store, for replicas that cannot reach the database |
//! | [`options`] | addresses and credentials of the engines |
//!
//! Connections belong to a thread of their own, so that they do not wait behind the work of threads that serve
//! clients.

mod change_log;
mod claims;
mod database;
mod events;
mod failed_logins;
mod identity;
mod live_replicas;
mod options;
mod replicas;
mod sessions;
mod traffic;
mod upstream_reports;

pub use self::change_log::ChangeLog;
pub use self::claims::{Claim, Claims, Leader};
pub use self::database::Database;
pub use self::failed_logins::{FailedLogins, FailureCount, FleetFailures};
pub use self::identity::{Change, Committed, FleetIdentities, FleetTurn, Look, Missed, Registered};
pub use self::live_replicas::LiveReplicas;
pub use self::options::{BucketOptions, DatabaseOptions, DatabaseUrl};
pub use self::replicas::{Registration, Replica, Sign};
pub use self::sessions::FleetSessions;
pub use self::traffic::FleetTraffic;
pub use self::upstream_reports::{BudgetReport, PauseReport, Reports, UpstreamReports};

use super::error::{FleetError, StoreError};

/// Runs work on the thread of the connections. A panic of the work is an error like any other.
async fn run_on<T: Send + 'static>(
    runtime: &tokio::runtime::Handle,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    runtime.spawn(work).await.unwrap_or_else(|lost| {
        tracing::error!(%lost, "a task of the store was lost");
        Err(FleetError::Unreachable(lost.to_string()).into())
    })
}
