//! Limits of concurrent requests to one upstream.

use std::time::{Duration, Instant};

use super::gates::Wait;
use super::permits::{Permits, Pool, PoolPermit, UpstreamPermit};
use super::request::UpstreamRequest;
use crate::actors::admission::{Counted, refused};
use crate::domain::id::GroupId;
use crate::domain::repository::UpstreamName;
use crate::upstream::{ConnectionOptions, UpstreamError};

/// The limits of one upstream.
pub(super) struct UpstreamLimits {
    upstream: UpstreamName,
    permits: Permits,
    max_concurrent: usize,
    max_waiting: usize,
    rate_limit_wait: Duration,
}

/// The requests to one upstream that are under way, and those that wait for a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamQueue {
    /// The upstream.
    pub upstream: UpstreamName,
    /// Number of short requests, downloads and ranges that are under way.
    pub in_use: [usize; 3],
    /// Maximum of each of them.
    pub max_in_use: usize,
    /// Number of requests that wait.
    pub waiting: usize,
    /// Maximum of them.
    pub max_waiting: usize,
    /// Number of groups that take turns among those.
    pub groups: usize,
}

impl UpstreamLimits {
    pub(super) fn new(upstream: UpstreamName, options: &ConnectionOptions) -> Self {
        let max_concurrent = options.max_concurrent.get();
        Self {
            upstream,
            permits: Permits::new(max_concurrent, options.max_waiting),
            max_concurrent,
            max_waiting: options.max_waiting,
            rate_limit_wait: options.rate_limit_wait,
        }
    }

    /// Returns true if these options have the same limits.
    pub(super) fn are_of(&self, options: &ConnectionOptions) -> bool {
        let of_options = (options.max_concurrent.get(), options.max_waiting, options.rate_limit_wait);
        (self.max_concurrent, self.max_waiting, self.rate_limit_wait) == of_options
    }

    /// Reduces the permits to the share of one of these replicas, which is at least one permit.
    pub(super) fn share_among(&self, replicas: usize) {
        self.permits.resize((self.max_concurrent / replicas.max(1)).max(1));
    }

    /// Returns what is under way and what waits at present.
    pub(super) fn queue(&self) -> UpstreamQueue {
        let (in_use, max_in_use, waiting, groups) = self.permits.counts();
        let max_waiting = self.max_waiting;
        UpstreamQueue { upstream: self.upstream.clone(), in_use, max_in_use, waiting, max_waiting, groups }
    }

    /// Returns how a request that has taken `spent` until now waits while upstream's limit is reached.
    pub(super) fn wait<R: UpstreamRequest>(&self, request: &R, spent: Duration) -> Wait {
        let until = request.is_held().then(|| Instant::now() + self.rate_limit_wait.saturating_sub(spent));
        Wait { group: request.group(), until, max_waiting: self.max_waiting }
    }

    /// Returns a permit of this pool. Waits for it for a bounded time, of which the request has `waited` before, in
    /// turn with other groups, unless the maximum number of requests waits already.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::Busy`] if there is no permit.
    pub(super) async fn permit(
        &self,
        pool: Pool,
        group: Option<GroupId>,
        waited: Duration,
    ) -> Result<UpstreamPermit, UpstreamError> {
        let permit = match self.permits.try_take(pool) {
            Some(permit) => permit,
            None => {
                let limit = pool.wait_timeout().saturating_sub(waited);
                let later = self.permit_later(pool, group, limit).await;
                later.ok_or(UpstreamError::Busy).inspect_err(|_| refused("upstream"))?
            }
        };
        let labels = [("upstream", self.upstream.to_string()), ("kind", pool.label().to_owned())];
        let in_flight = metrics::gauge!("dependency_proxy_upstream_in_flight", &labels);
        Ok(UpstreamPermit { _permit: permit, _counted: Counted::by(in_flight) })
    }

    async fn permit_later(&self, pool: Pool, group: Option<GroupId>, limit: Duration) -> Option<PoolPermit> {
        let waiting = self.permits.wait(pool, group)?;
        let gauge = metrics::gauge!("dependency_proxy_upstream_waiting", "upstream" => self.upstream.to_string());
        let _counted = Counted::by(gauge);
        tokio::time::timeout(limit, waiting.granted()).await.ok()?
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::settings::Settings;

    #[actix_rt::test]
    async fn too_many_who_wait_are_refused_at_once_and_the_others_in_time() {
        let name: UpstreamName = "docker.io".parse().unwrap();
        let options = ConnectionOptions {
            max_concurrent: NonZeroUsize::MIN,
            max_waiting: 16,
            ..Settings::load(None, []).unwrap().upstreams.iter().next().unwrap().connection.clone()
        };
        let limits = UpstreamLimits::new(name, &options);
        let permit = |pool| limits.permit(pool, None, Duration::ZERO);
        let taken = permit(Pool::Content).await.unwrap();
        let waiting = futures::future::join_all((0..17).map(|_| permit(Pool::Content))).await;
        assert!(waiting.iter().all(|permit| matches!(permit, Err(UpstreamError::Busy))));
        drop(taken);
        assert!(permit(Pool::Content).await.is_ok() && permit(Pool::Short).await.is_ok());
    }
}
