//! The Janitor: background work on the store.
//!
//! | when | work |
//! |---|---|
//! | at the start | removes what killed processes left; compares the records of stored files with the files; counts what groups hold |
//! | every 5 s | writes times of last use, reads, pulls, and who pulled; keeps groups within their quotas; evicts, so that there is headroom; writes the index; updates gauges; reports expiring tokens; writes sums of refusals, appends audit events to their file, and removes the oldest audit events where there are too many; exports the identities after changes |
//! | every minute, and at the start | purges groups that are deleted or whose purge did not end; completes removals of images |
//! | every day | removes links to content that no image names and nobody reads |
//! | every hour | removes images that nobody pulls for as long as their group keeps them, and what they alone named; removes old audit events, traffic, and records of who pulled; forgets old tombstones and the times of deleted credentials |
//! | on request | purges a group; removes images: their entries at once, what only they name in the background |
//! | at the stop | what it does every 5 s; writes the identities |
//!
//! | file | content |
//! |---|---|
//! | [`handle`] | [`JanitorHandle`]: requests of purges and removals, and the end of everything at the stop |
//! | [`actor`] | the actor: when each run begins |
//! | [`parts`] | the handles and stores that the work needs |
//! | [`tasks`], [`removals`], [`limits`] | the work: what is written and forgotten; purges and removals of images; quotas, and what is old or not named |
//! | [`trims`] | which groups stay over their quotas |
//! | [`purges`] | the queue of purges |
//! | [`clock`] | jumps of the clock |

mod actor;
mod clock;
mod handle;
mod limits;
mod parts;
mod purges;
mod removals;
mod tasks;
mod trims;

use actix::prelude::*;

pub use self::actor::Janitor;
pub use self::handle::JanitorHandle;
pub use self::parts::Parts;
pub use self::trims::Trims;
use crate::domain::id::GroupId;

pub use crate::store::content::Holdings;

/// Queues the purge of a group's cache.
#[derive(Message)]
#[rtype(result = "()")]
struct Purge(GroupId);

/// Reports that the running purge has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Purged;

/// Completes the removals of images that are recorded.
#[derive(Message)]
#[rtype(result = "()")]
struct CompleteRemovals;

/// Reports that a run that completes removals has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct RemovalsCompleted;

/// Writes everything that waits to be written. The reply means that it is on the disk.
#[derive(Message)]
#[rtype(result = "()")]
struct Finish;
