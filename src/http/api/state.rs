//! What the API needs from the rest of the house, and nothing else of it.

use std::sync::Arc;

use actix_web::HttpRequest;
use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::domain::directory::{Directory, Write};
use crate::domain::edit::{Edit, EditError};
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::policy::PublicGroups;
use crate::domain::upstream::Upstreams;

/// Shared by all routes of the API, as `web::Data`.
pub(crate) struct ApiState {
    /// The owners of what changes.
    pub(crate) house: Box<dyn House>,
    /// The upstreams, whose names no group may have.
    pub(crate) upstreams: Arc<Upstreams>,
    /// Who else may see public groups.
    pub(crate) public_groups: PublicGroups,
    /// Whether the proxy is on where nobody switched it at run time.
    pub(crate) proxy_enabled: bool,
}

/// The handles behind the API.
pub(crate) trait House: Send + Sync {
    /// The identities as they are now.
    fn directory(&self) -> Arc<Directory>;

    /// Runs the edit where the directory is owned; what it says is durable and in force when this ends well.
    fn change(&self, edit: BoxedEdit) -> BoxFuture<'static, Result<(), Failure>>;

    /// The Argon2id hash of a password, from a bounded pool.
    fn hash_password(&self, password: SecretString) -> BoxFuture<'static, Result<String, Failure>>;

    /// Takes note that a credential was used.
    fn note_use(&self, credential: CredentialId, at: Timestamp);

    /// When a credential was last used, as far as known.
    fn last_used(&self, credential: CredentialId) -> Option<Timestamp>;

    /// Starts to remove what a group has cached.
    fn purge(&self, group: GroupId);

    /// What URLs of this service start with, as this client sees it: scheme and host, no `/` at the end.
    fn base_url(&self, request: &HttpRequest) -> String;
}

/// An edit that keeps its result to itself.
pub(crate) type BoxedEdit = Box<dyn FnOnce(&Directory) -> Result<Vec<Write>, EditError> + Send>;

/// Why a change was not made, or not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Too much of this is going on.
    #[error("too many at once")]
    Busy,
    /// The store failed; the reason is for the log.
    #[error("{0}")]
    Store(String),
}

impl ApiState {
    /// Runs an edit where the directory is owned, and gives its result once the change is durable and in force.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&Directory) -> Edit<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let boxed: BoxedEdit = Box::new(move |directory| {
            let (writes, value) = edit(directory)?;
            // An asker that has left still gets its change made.
            let _ = sender.send(value);
            Ok(writes)
        });
        self.house.change(boxed).await?;
        receiver.await.map_err(|_| Failure::Store("the edit was dropped".to_owned()))
    }
}
