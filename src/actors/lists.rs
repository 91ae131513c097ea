//! Lists that are passed through from upstream: tags and referrers. Never stored.

use super::failure::{Cause, PullFailure};
use super::upstream_fetcher::Upstream;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
pub use crate::upstream::ListAnswer;

/// What the rest of the service holds: asks upstream for lists.
#[derive(Clone)]
pub struct Lists(Upstream);

impl Lists {
    /// Lists of these upstreams.
    pub fn new(upstream: Upstream) -> Self {
        Self(upstream)
    }

    /// A page of the tags of a repository.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListAnswer, PullFailure> {
        self.0.tags(origin, query).await.map_err(|error| {
            let cause = Cause::from(&error);
            let cause = if cause == Cause::NotFound { Cause::NoRepository } else { cause };
            failure(origin, "the list of tags", cause)
        })
    }

    /// A page of the manifests that refer to this one; none where upstream has no such list.
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<Option<ListAnswer>, PullFailure> {
        match self.0.referrers(origin, digest, query).await.map_err(|error| Cause::from(&error)) {
            Ok(list) => Ok(Some(list)),
            Err(Cause::NotFound) => Ok(None),
            Err(cause) => Err(failure(origin, "the list of referrers", cause)),
        }
    }
}

fn failure(origin: &Origin, list: &str, cause: Cause) -> PullFailure {
    PullFailure { origin: origin.clone(), image: format!("{list} of {}", origin.repository), cause }
}
