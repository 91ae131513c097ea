//! Lists that are passed through from upstream: tags and referrers. Never stored.

use super::failure::{Cause, PullFailure};
use super::memory_budget::{CollectError, MemoryBudget, Reservation};
use super::upstream_fetcher::Upstream;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
pub use crate::upstream::ListAnswer;
use crate::upstream::{MAX_LIST_BYTES, UpstreamError};

/// What the rest of the service holds: asks upstream for lists.
#[derive(Clone)]
pub struct Lists {
    upstream: Upstream,
    memory: MemoryBudget,
}

impl Lists {
    /// Lists of these upstreams, within this budget.
    pub fn new(upstream: Upstream, memory: MemoryBudget) -> Self {
        Self { upstream, memory }
    }

    /// A page of the tags of a repository, within this group's share of memory.
    pub async fn tags(&self, group: GroupId, origin: &Origin, query: &ListQuery) -> Result<ListAnswer, PullFailure> {
        self.within_budget(group, self.upstream.tags(origin, query)).await.map_err(|error| {
            let cause = Cause::from(&error);
            let cause = if cause == Cause::NotFound { Cause::NoRepository } else { cause };
            failure(origin, "the list of tags", cause)
        })
    }

    /// A page of the manifests that refer to this one. An upstream without such a list is a failure that names the tag under
    /// which referrers are found there (OCI distribution specification, "Unavailable Referrers API").
    pub async fn referrers(
        &self,
        group: GroupId,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListAnswer, PullFailure> {
        self.within_budget(group, self.upstream.referrers(origin, digest, query)).await.map_err(|error| {
            let failure = failure(origin, "the list of referrers", without_api(Cause::from(&error)));
            let image = if failure.cause == Cause::NotFound { no_referrers(origin, digest) } else { failure.image };
            PullFailure { image, ..failure }
        })
    }
}

impl Lists {
    /// A list may have any length up to its limit, which is reserved until it is here, and its own length as long as it is held.
    async fn within_budget(
        &self,
        group: GroupId,
        list: impl Future<Output = Result<ListAnswer, UpstreamError>>,
    ) -> Result<ListAnswer, CollectError> {
        let reservation = self.memory.reserve(group, MAX_LIST_BYTES as u64).await?;
        let list = list.await?;
        Ok(ListAnswer { body: Reservation::hold(reservation, list.body), ..list })
    }
}

/// A page in place of a list of referrers, as behind a redirect to sign in, or "not implemented", means that upstream has none.
fn without_api(cause: Cause) -> Cause {
    let has_none = matches!(cause, Cause::InvalidResponse { .. } | Cause::ServerError { status: 501, .. });
    if has_none { Cause::NotFound } else { cause }
}

fn failure(origin: &Origin, list: &str, cause: Cause) -> PullFailure {
    PullFailure { origin: origin.clone(), image: format!("{list} of {}", origin.repository), cause }
}

/// What upstream does not have, and what to look for instead.
fn no_referrers(origin: &Origin, digest: &Digest) -> String {
    let tag = digest.to_string().replace(':', "-");
    format!("list of referrers of {}. Look for the tag {tag}", origin.repository)
}
