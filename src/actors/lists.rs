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

    /// A page of the manifests that refer to this one. An upstream without such a list is a failure that names the tag under
    /// which referrers are found there (OCI distribution specification, "Unavailable Referrers API").
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListAnswer, PullFailure> {
        self.0.referrers(origin, digest, query).await.map_err(|error| {
            let failure = failure(origin, "the list of referrers", Cause::from(&error));
            let image = if failure.cause == Cause::NotFound { no_referrers(origin, digest) } else { failure.image };
            PullFailure { image, ..failure }
        })
    }
}

fn failure(origin: &Origin, list: &str, cause: Cause) -> PullFailure {
    PullFailure { origin: origin.clone(), image: format!("{list} of {}", origin.repository), cause }
}

/// What upstream does not have, and what to look for instead.
fn no_referrers(origin: &Origin, digest: &Digest) -> String {
    let tag = digest.to_string().replace(':', "-");
    format!("list of referrers of {}. Look for the tag {tag}", origin.repository)
}
