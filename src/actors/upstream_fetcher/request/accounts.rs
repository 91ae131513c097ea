//! A login that shows whether upstream accepts an account.

use std::sync::Arc;
use std::time::Duration;

use super::{ContentKind, UpstreamRequest};
use crate::actors::upstream_fetcher::permits::Pool;
use crate::domain::deadlines;
use crate::domain::id::GroupId;
use crate::domain::origin::{Account, Origin};
use crate::domain::repository::{Repository, UpstreamName};
use crate::upstream::{LoginOutcome, Registry, UpstreamError};

/// Logs in at upstream with an account, for no repository. No mirror gets the request. Its outcome counts as that of a
/// manifest: after a refusal the account is in backoff, and one that is accepted again is used at once.
#[derive(Clone, Debug)]
pub struct TryAccount {
    /// The upstream and the account. The repository is not requested.
    origin: Origin,
    group: GroupId,
}

impl TryAccount {
    /// Creates the login with this account, on behalf of this group.
    pub fn new(upstream: UpstreamName, account: Account, group: GroupId) -> Self {
        Self { origin: Origin { upstream, account, repository: Repository::none() }, group }
    }
}

impl UpstreamRequest for TryAccount {
    type Response = LoginOutcome;
    const NAME: &'static str = "log in";
    const POOL: Pool = Pool::Short;
    const KIND: ContentKind = ContentKind::Manifests;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn group(&self) -> Option<GroupId> {
        Some(self.group)
    }

    /// The caller waits for upstream's present response.
    fn is_held(&self) -> bool {
        false
    }

    async fn send(self, registry: Arc<Registry>) -> Result<LoginOutcome, UpstreamError> {
        registry.log_in(&self.origin.account).await
    }

    fn timeout(&self) -> Option<(Duration, Result<LoginOutcome, UpstreamError>)> {
        Some((deadlines::HEAD, Err(UpstreamError::TimedOut)))
    }
}
