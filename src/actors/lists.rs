//! Lists that are passed through from upstream: tags and referrers. Never stored.

use tokio::time::{Instant, timeout_at};

use super::memory_budget::{CollectError, MemoryBudget, Reservation};
use super::pull_failure::{Cause, PullFailure};
use super::upstream_fetcher::{ListReferrers, ListTags, UpstreamHandle};
use crate::domain::deadlines;
use crate::domain::digest::Digest;
use crate::domain::id::GroupId;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
pub use crate::upstream::ListPage;
use crate::upstream::{MAX_LIST_BYTES, UpstreamError};

/// Handle that requests lists from upstream.
#[derive(Clone)]
pub struct Lists {
    upstream: UpstreamHandle,
    memory: MemoryBudget,
}

impl Lists {
    /// Returns a handle that uses this upstream client, and memory of this budget.
    pub fn new(upstream: UpstreamHandle, memory: MemoryBudget) -> Self {
        Self { upstream, memory }
    }

    /// Returns a page of the tags of a repository, within this group's share of memory (OCI distribution
    /// specification, "Listing Tags").
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send a list, or if the group's share of memory is in use for too long.
    pub async fn tags(&self, group: GroupId, origin: &Origin, query: &ListQuery) -> Result<ListPage, PullFailure> {
        let request = ListTags { origin: origin.clone(), query: query.clone() };
        self.within_budget(group, self.upstream.send(request)).await.map_err(|error| {
            let cause = Cause::from(&error);
            let cause = if cause == Cause::NotFound { Cause::NoRepository } else { cause };
            failure(origin, "the list of tags", cause)
        })
    }

    /// Returns a page of the manifests that refer to this one (OCI distribution specification, "Listing Referrers").
    ///
    /// # Errors
    ///
    /// Fails as [`Self::tags`] does. If upstream has no referrers API, the failure names the tag under which
    /// referrers are found there ("Unavailable Referrers API").
    pub async fn referrers(
        &self,
        group: GroupId,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListPage, PullFailure> {
        let request = ListReferrers { origin: origin.clone(), digest: *digest, query: query.clone() };
        self.within_budget(group, self.upstream.send(request)).await.map_err(|error| {
            let failure = failure(origin, "the list of referrers", without_api(Cause::from(&error)));
            let image = if failure.cause == Cause::NotFound { no_referrers(origin, digest) } else { failure.image };
            PullFailure { image, ..failure }
        })
    }
}

impl Lists {
    /// Runs the request, within the time for a response, with memory reserved: the maximum length of a list until it
    /// has arrived, since its length is not known before, and then its own length for as long as it is held.
    async fn within_budget(
        &self,
        group: GroupId,
        list: impl Future<Output = Result<ListPage, UpstreamError>>,
    ) -> Result<ListPage, CollectError> {
        let late = Instant::now() + deadlines::RESPONSE;
        let reservation = self.memory.reserve(group, MAX_LIST_BYTES as u64).await?;
        let list = timeout_at(late, list).await.unwrap_or(Err(UpstreamError::TimedOut))?;
        Ok(ListPage { body: Reservation::hold(reservation, list.body), ..list })
    }
}

/// Returns `NotFound` if the response means that upstream has no referrers API: a web page in place of the list
/// (such as after a redirect to a login page), or 501 "not implemented".
fn without_api(cause: Cause) -> Cause {
    let has_none = matches!(cause, Cause::InvalidResponse { .. } | Cause::ServerError { status: 501, .. });
    if has_none { Cause::NotFound } else { cause }
}

fn failure(origin: &Origin, list: &str, cause: Cause) -> PullFailure {
    PullFailure { origin: origin.clone(), image: format!("{list} of {}", origin.repository), cause, is_list: true }
}

/// Returns the name of the missing list, with the tag to look for instead.
fn no_referrers(origin: &Origin, digest: &Digest) -> String {
    let tag = digest.to_string().replace(':', "-");
    format!("list of referrers of {}. Look for the tag {tag}", origin.repository)
}
