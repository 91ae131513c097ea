//! The identities as the API uses them: snapshots for reading, and changes whose caller is authorized again on the
//! directory that they are applied to. Has the API's only handle for changes, so that no route can omit the
//! authorization.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::actors::policy_evaluator::{ChangeError, Edited, NotConfirmed, PolicyEvaluatorHandle, TooOld};
use crate::domain::audit::Event;
use crate::domain::directory::Directory;

/// Maximum time for which a response waits for the confirmation of what it shows: longer than that takes where one
/// replica or the object store does not respond.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The identities that the API reads and changes.
pub(crate) struct Identities(PolicyEvaluatorHandle);

impl Identities {
    /// Creates it from the handle of the policy evaluator, which owns the identities.
    pub(crate) fn new(policy: PolicyEvaluatorHandle) -> Self {
        Self(policy)
    }

    /// Waits until the identities in memory may be used.
    ///
    /// # Errors
    /// They may be too old, because the engines that replicas share do not respond.
    pub(in crate::http) async fn hold(&self) -> Result<(), TooOld> {
        self.0.validity().hold().await
    }

    /// Waits until no replica decides without what a request has read.
    ///
    /// # Errors
    /// A replica may still do so.
    pub(in crate::http) async fn confirmed(&self) -> Result<(), NotConfirmed> {
        self.0.confirmed(CONFIRMATION_TIMEOUT).await
    }

    /// Waits until no replica decides without what a request has read in the store, besides the identities in memory.
    ///
    /// # Errors
    /// A replica may still do so.
    pub(in crate::http) async fn newest_confirmed(&self) -> Result<(), NotConfirmed> {
        self.0.newest_confirmed().await
    }

    /// Returns a snapshot of all identities. It contains every change that was acknowledged.
    pub(in crate::http) fn directory(&self) -> Arc<Directory> {
        self.0.directory()
    }

    /// Applies an edit to the latest directory, at the time when it is applied. To be called by
    /// [`Caller::change`](super::Caller::change) only, which decides the caller's rights on that directory first.
    ///
    /// # Errors
    /// The edit is refused, too many changes wait, or the change cannot be stored.
    pub(super) async fn change<T, E>(
        &self,
        edit: impl FnOnce(&Directory, Timestamp) -> Result<Edited<T>, E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.0.change(|directory| edit(directory, Timestamp::now())).await
    }

    /// Stores the audit event of a change of what is cached.
    ///
    /// # Errors
    /// Too many changes wait, or the event cannot be stored.
    pub(super) async fn record(&self, event: Event) -> Result<(), ChangeError<Infallible>> {
        self.0.record(vec![event]).await
    }
}
