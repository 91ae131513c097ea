//! The UpstreamFetcher runs all requests to upstream registries on its own arbiter, where their
//! connections live; its handle [`UpstreamHandle`] bounds their number. The bytes of a response go from the
//! connection to the reader, not through a mailbox.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::abort_on_panic::abort_on_panic;
use super::admission::refused;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use crate::upstream::{
    Content, ContentHead, ListPage, ManifestHead, Registries, SetupError, UpstreamError, UpstreamOptions,
};

/// Maximum time that a short request waits for its permit. Together with the time until its response begins, it has
/// to end before clients give up.
const SHORT_WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time that a request for content waits for its permit; about as long as a client waits.
const CONTENT_WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Actor on whose arbiter upstream requests run; see the module.
pub struct UpstreamFetcher;

/// Handle for upstream requests. A request runs on after its caller has left; dropping a stream ends its response.
#[derive(Clone)]
pub struct UpstreamHandle {
    actor: Addr<UpstreamFetcher>,
    /// The present upstreams. Each request uses the snapshot of its beginning.
    current: Arc<ArcSwap<Current>>,
}

/// The configured upstreams and their limits.
struct Current {
    registries: Registries,
    limits: HashMap<UpstreamName, Arc<UpstreamLimits>>,
}

/// Limits of concurrent requests to one upstream. Each kind of request has a pool of permits of its own.
struct UpstreamLimits {
    upstream: UpstreamName,
    /// For downloads, each until its last byte.
    contents: Arc<Semaphore>,
    /// For short requests (`HEAD`, manifests, lists), so that these do not wait behind downloads.
    short_requests: Arc<Semaphore>,
    /// For ranges of blobs that are not stored. Each lasts as long as its client reads, so slow clients
    /// must not block downloads.
    ranges: Arc<Semaphore>,
    /// For requests of all kinds that wait for one of the other permits.
    waiting: Arc<Semaphore>,
    max_concurrent: usize,
    max_waiting: usize,
}

/// A permit for one request, counted in a gauge. Released when it is dropped.
struct UpstreamPermit {
    _permit: OwnedSemaphorePermit,
    in_flight: metrics::Gauge,
}

/// Runs this work on the fetcher's arbiter, and returns its result.
struct RunRequest<T>(Box<dyn FnOnce() -> BoxFuture<'static, Result<T, UpstreamError>> + Send>);

impl UpstreamHandle {
    /// Starts the actor on this arbiter.
    ///
    /// # Errors
    ///
    /// Fails if an upstream's options cannot be used.
    pub fn start(upstreams: Vec<UpstreamOptions>, arbiter: &ArbiterHandle) -> Result<Self, SetupError> {
        let none = Current { registries: Registries::new(Vec::new())?, limits: HashMap::new() };
        let current = none.changed_to(upstreams)?;
        let actor = UpstreamFetcher::start_in_arbiter(arbiter, |_| UpstreamFetcher);
        Ok(Self { actor, current: Arc::new(ArcSwap::from_pointee(current)) })
    }

    /// Replaces the upstreams for all later requests; requests under way are not affected. Returns the names of the
    /// upstreams that changed, are new or were removed.
    ///
    /// # Errors
    ///
    /// Fails if an upstream's options cannot be used. Then nothing changes.
    pub fn change(&self, upstreams: Vec<UpstreamOptions>) -> Result<Vec<UpstreamName>, SetupError> {
        let before = self.current.load_full();
        let after = before.changed_to(upstreams)?;
        let mut names = after.registries.differing_from(&before.registries);
        names.extend(before.registries.differing_from(&after.registries));
        names.sort();
        names.dedup();
        self.current.store(Arc::new(after));
        Ok(names)
    }

    /// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the
    /// response is not verified.
    ///
    /// # Errors
    ///
    /// Like all other requests, this fails if upstream does not send a valid response, if the limit of concurrent
    /// requests is reached for too long ([`UpstreamError::Busy`]), or if the upstream is not configured.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        let (target, reference) = (origin.clone(), reference.clone());
        self.short_request(origin, |registries| async move { registries.head_manifest(&target, &reference).await })
            .await
    }

    /// Requests a manifest or index, in the form that upstream stores (OCI distribution specification, "Pulling
    /// manifests"). The caller has to bound its length and verify its digest.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let permit = self.limits(origin)?.short_request().await?;
        let (target, reference) = (origin.clone(), reference.clone());
        self.run(|registries| async move { Ok(registries.manifest(&target, &reference).await?.holding(permit)) }).await
    }

    /// Sends a `HEAD` for a blob. Success proves that this account may read the blob in this repository.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let (target, digest) = (origin.clone(), *digest);
        self.short_request(origin, move |registries| async move { registries.head_blob(&target, &digest).await }).await
    }

    /// Requests a blob from this offset (in bytes) to its end.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let permit = self.limits(origin)?.content().await?;
        let (target, digest) = (origin.clone(), *digest);
        self.run(move |registries| async move { Ok(registries.blob(&target, &digest, from).await?.holding(permit)) })
            .await
    }

    /// Requests these bytes of a blob, at least one. Returns `None` if upstream ignores ranges.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        let permit = self.limits(origin)?.range().await?;
        let (target, digest) = (origin.clone(), *digest);
        let request = move |registries: Registries| async move {
            let content = registries.blob_range(&target, &digest, &range).await?;
            Ok(content.map(|content| content.holding(permit)))
        };
        self.run(request).await
    }

    /// Requests a page of the list of tags.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListPage, UpstreamError> {
        let (target, query) = (origin.clone(), query.clone());
        self.short_request(origin, |registries| async move { registries.tags(&target, &query).await }).await
    }

    /// Requests a page of the list of manifests that refer to this one.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::head_manifest`] does; with `NotFound` also if upstream has no referrers API.
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListPage, UpstreamError> {
        let (target, digest, query) = (origin.clone(), *digest, query.clone());
        self.short_request(
            origin,
            move |registries| async move { registries.referrers(&target, &digest, &query).await },
        )
        .await
    }

    /// Runs a request that ends with its response, once it has a permit.
    async fn short_request<T, F>(
        &self,
        origin: &Origin,
        work: impl FnOnce(Registries) -> F + Send + 'static,
    ) -> Result<T, UpstreamError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UpstreamError>> + Send + 'static,
    {
        let permit = self.limits(origin)?.short_request().await?;
        let with_permit = |registries| async move {
            let _permit = permit;
            work(registries).await
        };
        self.run(with_permit).await
    }

    /// Runs work on the fetcher's arbiter: reqwest connections belong to the runtime that opened them.
    async fn run<T, F>(&self, work: impl FnOnce(Registries) -> F + Send + 'static) -> Result<T, UpstreamError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UpstreamError>> + Send + 'static,
    {
        let registries = self.current.load().registries.clone();
        let message = RunRequest(Box::new(move || Box::pin(work(registries))));
        self.actor.send(message).await.unwrap_or(Err(UpstreamError::Lost))
    }

    fn limits(&self, origin: &Origin) -> Result<Arc<UpstreamLimits>, UpstreamError> {
        self.current.load().limits.get(&origin.upstream).cloned().ok_or(UpstreamError::NotConfigured)
    }
}

impl Current {
    /// Returns the state for these upstreams. Limits that did not change are kept, so that requests under
    /// way still count.
    fn changed_to(&self, upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        let limits = |options: &UpstreamOptions| {
            let known = self.limits.get(&options.name).filter(|limits| limits.are_of(options)).cloned();
            (options.name.clone(), known.unwrap_or_else(|| Arc::new(UpstreamLimits::new(options))))
        };
        let limits = upstreams.iter().map(limits).collect();
        Ok(Self { registries: self.registries.changed_to(upstreams)?, limits })
    }
}

impl Actor for UpstreamFetcher {
    type Context = Context<Self>;
}

impl Drop for UpstreamFetcher {
    fn drop(&mut self) {
        abort_on_panic("UpstreamFetcher");
    }
}

impl<T: Send + 'static> Message for RunRequest<T> {
    type Result = Result<T, UpstreamError>;
}

impl<T: Send + 'static> Handler<RunRequest<T>> for UpstreamFetcher {
    type Result = ResponseFuture<Result<T, UpstreamError>>;

    fn handle(&mut self, RunRequest(work): RunRequest<T>, _: &mut Context<Self>) -> Self::Result {
        // A separate task: a panic in the work becomes an error of its caller alone, and the actor lives on.
        let running = actix_rt::spawn(async move { work().await });
        Box::pin(async move { running.await.unwrap_or(Err(UpstreamError::Lost)) })
    }
}

impl UpstreamLimits {
    fn new(options: &UpstreamOptions) -> Self {
        let permits = |number: usize| Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS)));
        Self {
            upstream: options.name.clone(),
            contents: permits(options.max_concurrent),
            short_requests: permits(options.max_concurrent),
            ranges: permits(options.max_concurrent),
            waiting: permits(options.max_waiting),
            max_concurrent: options.max_concurrent,
            max_waiting: options.max_waiting,
        }
    }

    fn are_of(&self, options: &UpstreamOptions) -> bool {
        (self.max_concurrent, self.max_waiting) == (options.max_concurrent, options.max_waiting)
    }

    async fn content(&self) -> Result<UpstreamPermit, UpstreamError> {
        self.permit(&self.contents, "content", CONTENT_WAIT_TIMEOUT).await
    }

    async fn short_request(&self) -> Result<UpstreamPermit, UpstreamError> {
        self.permit(&self.short_requests, "short", SHORT_WAIT_TIMEOUT).await
    }

    async fn range(&self) -> Result<UpstreamPermit, UpstreamError> {
        self.permit(&self.ranges, "range", SHORT_WAIT_TIMEOUT).await
    }

    /// Returns a permit of this pool. Waits for it up to `limit`, unless the maximum number of requests waits already.
    async fn permit(
        &self,
        permits: &Arc<Semaphore>,
        kind: &'static str,
        limit: Duration,
    ) -> Result<UpstreamPermit, UpstreamError> {
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(permits, limit).await.inspect_err(|_| refused("upstream"))?,
        };
        let labels = [("upstream", self.upstream.to_string()), ("kind", kind.to_owned())];
        let in_flight = metrics::gauge!("dependency_proxy_upstream_in_flight", &labels);
        in_flight.increment(1);
        Ok(UpstreamPermit { _permit: permit, in_flight })
    }

    async fn wait(&self, permits: &Arc<Semaphore>, limit: Duration) -> Result<OwnedSemaphorePermit, UpstreamError> {
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| UpstreamError::Busy)?;
        let gauge = metrics::gauge!("dependency_proxy_upstream_waiting", "upstream" => self.upstream.to_string());
        let _waiting = UpstreamPermit { _permit: waiting, in_flight: gauge.clone() };
        gauge.increment(1);
        let waited = tokio::time::timeout(limit, permits.clone().acquire_owned()).await;
        waited.map_err(|_elapsed| UpstreamError::Busy)?.map_err(|_closed| UpstreamError::Lost)
    }
}

impl Drop for UpstreamPermit {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_panic_in_the_work_is_an_error_of_its_caller_alone() {
        let arbiter = Arbiter::new();
        let upstream = UpstreamHandle::start(Vec::new(), &arbiter.handle()).unwrap();
        let (boom, fine) = tokio::join!(
            upstream.run(|_| async { if true { panic!("in a test") } else { Ok(()) } }),
            upstream.run(|_| async { Ok(7) })
        );
        assert_eq!((boom, fine), (Err(UpstreamError::Lost), Ok(7)));
        assert_eq!(upstream.run(|_| async { Ok(8) }).await, Ok(8));
        arbiter.stop();
    }

    #[actix_rt::test]
    async fn too_many_who_wait_are_refused_at_once_and_the_others_in_time() {
        let name: UpstreamName = "docker.io".parse().unwrap();
        let limits = UpstreamLimits::new(&UpstreamOptions {
            max_concurrent: 1,
            max_waiting: 16,
            ..UpstreamOptions::new(name, "")
        });
        let taken = limits.content().await.unwrap();
        let waiting = futures::future::join_all((0..17).map(|_| limits.content())).await;
        assert!(waiting.iter().all(|permit| matches!(permit, Err(UpstreamError::Busy))));
        drop(taken);
        assert!(limits.content().await.is_ok() && limits.short_request().await.is_ok());
    }
}
