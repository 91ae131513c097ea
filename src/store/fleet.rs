//! The engines that several replicas share: PostgreSQL for identities and the index of cached content, and an object
//! store for the change log, manifests and blobs.
//!
//! | module | content |
//! |---|---|
//! | [`database`] | connections to PostgreSQL |
//! | [`schema`] | the schema of the database, and its upgrades |
//! | [`secrets`] | the secret with which the replicas sign, by an id of it |
//! | [`identity`] | identities in the database: loading, changes, looks at what has changed |
//! | [`events`], [`event_queries`] | audit events in the database |
//! | [`last_uses`] | times of last use in the database |
//! | [`claims`] | downloads that replicas share |
//! | [`failed_logins`] | failed logins at all replicas |
//! | [`live_replicas`] | the number of replicas that are alive |
//! | [`replicas`] | the replicas that are registered |
//! | [`content`] | cached content that replicas share, as one of them sees it |
//! | [`index`], [`index_changes`] | what upstream has served to groups, and what tags stand for |
//! | [`removal`] | removals from the index, and pins |
//! | [`revalidation`] | revalidation of tags, once for all replicas |
//! | [`content_events`] | what each replica must do to its own index |
//! | [`followed`] | the last of these events that this replica has carried out |
//! | [`objects`], [`bucket`] | which content is in the object store, and the objects |
//! | [`keeping`], [`jobs`] | the care of the object store, by one replica at a time |
//! | [`pause`] | a pause after a failure of an engine |
//! | [`pulls`], [`pull_records`] | pulls of images at all replicas, and who made them |
//! | [`uploads`] | uploads of stored content |
//! | [`sessions`] | sessions of the console |
//! | [`traffic`] | traffic of groups |
//! | [`upstream_reports`] | reports of upstreams about their limits |
//! | [`moving`], [`moving_rows`], [`moving_content`] | identities and content of a store of another kind, which become those of a fleet |
//! | [`saving`] | all identities at one time, for a backup |
//! | [`change_log`] | the changes of identities in the object store, for replicas that cannot reach the database |
//! | [`options`], [`secret_file`] | addresses and credentials of the engines; the secret that replicas share |
//!
//! Nothing stands between SQL and the rules: nearly every module has statements and types of tokio-postgres. They use
//! what other databases may not have: `WITH` that changes rows, arrays, `ON CONFLICT`, `SKIP LOCKED`, advisory locks;
//! error codes are in `database::problems`. Transactions are READ COMMITTED unless they say otherwise: a statement
//! after the one that waits for a lock sees what was committed before. A commit must be on disk when it returns:
//! `database` sets `synchronous_commit`, and `schema` refuses a server without `fsync`. Only [`bucket`] and
//! `change_log::objects` know the object store, which must be able to create an object only if there is none
//! (`PutMode::Create`) and to sign URLs; `change_log::objects` has advice for the error codes of S3. Documents of the
//! engines: `docs/fleet.md`, `config/helm`, `config/compose`. Their addresses are parsed in [`options`] and
//! `settings::sections`, and `settings::secrets::stand_in` has one. `tests/run` installs them for the tests.
//!
//! Connections belong to a thread of their own, so that they do not wait behind the work of threads that serve
//! clients.

mod bucket;
mod change_log;
mod claims;
mod content;
mod content_events;
mod database;
mod event_queries;
mod events;
mod failed_logins;
mod followed;
mod identity;
mod index;
mod index_changes;
mod jobs;
mod keeping;
mod last_uses;
mod live_replicas;
mod moving;
mod moving_content;
mod moving_rows;
mod objects;
mod options;
mod pause;
mod pull_records;
mod pulls;
mod removal;
mod replicas;
mod revalidation;
mod saving;
mod schema;
mod secret_file;
mod secrets;
mod sessions;
mod traffic;
mod uploads;
mod upstream_reports;

pub use self::bucket::{Bucket, ObjectBytes};
pub use self::change_log::ChangeLog;
pub use self::claims::{Claim, Claims, Leader, key_of_blob, key_of_manifest};
pub use self::content::FleetContent;
pub(in crate::store) use self::content_events::Seen;
pub use self::content_events::{ContentEvent, ContentEvents, Mark, NumberedContentEvent};
pub use self::database::Database;
pub use self::failed_logins::{FailedLogins, FailureCount, FleetFailures};
pub use self::followed::FollowedContent;
pub use self::identity::{Change, Committed, FleetIdentities, FleetTurn, Look, Missed, Registered};
pub use self::index::{FleetLookUp, ImagePlace, StoredObject};
pub use self::jobs::Lease;
pub use self::keeping::{Kept, LinkPlace, SearchPlace};
pub use self::live_replicas::LiveReplicas;
pub use self::moving::{FoundState, MovedIn, Moving};
pub use self::moving_content::{ContentToMove, MissingContent};
pub use self::options::{BucketOptions, DatabaseOptions, DatabaseUrl};
pub use self::pulls::CountPlace;
pub use self::removal::RemovedImages;
pub use self::replicas::{Registration, Replica, Sign};
pub use self::secret_file::{SecretFileError, read_secret};
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
