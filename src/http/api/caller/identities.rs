//! The identities as the API sees them: snapshots to read, and changes whose caller is decided anew on the very directory that
//! they are applied to. Holds the only handle of the API that changes anything, so that no route can leave that out.

use std::sync::Arc;

use jiff::Timestamp;

use crate::actors::policy_evaluator::{ChangeError, Policy};
use crate::domain::directory::{Directory, Write};

/// The identities behind the API.
pub(crate) struct Identities(Policy);

impl Identities {
    /// Those that this actor owns.
    pub(crate) fn new(policy: Policy) -> Self {
        Self(policy)
    }

    /// All of them as they are now. A change that was acknowledged is in it.
    pub(in crate::http::api) fn directory(&self) -> Arc<Directory> {
        self.0.directory()
    }

    /// Applies an edit to the directory as it is when its turn comes, at the time that it then is. For
    /// [`super::Caller::change`] alone, which decides the caller's rights in it first.
    pub(super) async fn change<T, E>(
        &self,
        edit: impl FnOnce(&Directory, Timestamp) -> Result<(Vec<Write>, T), E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.0.change(|directory| edit(directory, Timestamp::now())).await
    }
}
