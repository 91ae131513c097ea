//! The UpstreamFetcher runs everything that is asked of upstream registries on its own arbiter, where their connections live,
//! and bounds how much of it is under way. The bytes of an answer go from the connection to the reader, not through a mailbox.

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
use super::places::refused;
use crate::domain::digest::Digest;
use crate::domain::list_query::ListQuery;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::domain::repository::UpstreamName;
use crate::upstream::{
    Content, ContentHead, ListAnswer, ManifestHead, Registries, SetupError, UpstreamError, UpstreamOptions,
};

/// Maximum time that a short request waits for its permit before it is refused: with the time until its response begins it has to
/// end before clients give up.
const SHORT_WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for content, which is waited for as long as a client waits.
const CONTENT_WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks upstream; see the module.
pub struct UpstreamFetcher;

/// What the rest of the service holds. An asker that leaves stops nothing; a stream that is dropped does.
#[derive(Clone)]
pub struct Upstream {
    actor: Addr<UpstreamFetcher>,
    /// The snapshot that each request begins with; it changes as a whole.
    current: Arc<ArcSwap<Current>>,
}

/// The upstreams that there are, and their limits.
struct Current {
    registries: Registries,
    turns: HashMap<UpstreamName, Arc<Turns>>,
}

/// How much may be asked of one upstream at once.
struct Turns {
    upstream: UpstreamName,
    /// Downloads, each until its last byte.
    contents: Arc<Semaphore>,
    /// Questions that are over when their answer is there; they do not wait behind downloads.
    questions: Arc<Semaphore>,
    /// Ranges of what is not stored, each as long as its client reads: those who read slowly keep nobody from a download.
    ranges: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    max_concurrent: usize,
    max_waiting: usize,
}

/// The right to be under way, given back when it is dropped.
struct Turn {
    _permit: OwnedSemaphorePermit,
    in_flight: metrics::Gauge,
}

/// Something to run on the fetcher's arbiter. Answers what the work gives.
struct Ask<T>(Box<dyn FnOnce() -> BoxFuture<'static, Result<T, UpstreamError>> + Send>);

impl Upstream {
    /// Starts the actor on this arbiter.
    pub fn start(upstreams: Vec<UpstreamOptions>, arbiter: &ArbiterHandle) -> Result<Self, SetupError> {
        let none = Current { registries: Registries::new(Vec::new())?, turns: HashMap::new() };
        let current = none.changed_to(upstreams)?;
        let actor = UpstreamFetcher::start_in_arbiter(arbiter, |_| UpstreamFetcher);
        Ok(Self { actor, current: Arc::new(ArcSwap::from_pointee(current)) })
    }

    /// Requests from now on are sent to these upstreams; those under way end as they began. Gives the names of those
    /// that changed, are new or are no longer there. Where one cannot be used, nothing changes.
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

    /// What a `HEAD` says of a manifest, without counting as a pull at Docker Hub. Its digest is a claim.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        let (asked, reference) = (origin.clone(), reference.clone());
        self.question(origin, |registries| async move { registries.head_manifest(&asked, &reference).await }).await
    }

    /// A manifest or index, in the form that upstream keeps. The caller bounds its length and verifies its digest.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let turn = self.turns(origin)?.question().await?;
        let (asked, reference) = (origin.clone(), reference.clone());
        self.run(|registries| async move { Ok(registries.manifest(&asked, &reference).await?.holding(turn)) }).await
    }

    /// What upstream says about a blob; an answer proves that this account may read it in this repository.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let (asked, digest) = (origin.clone(), *digest);
        self.question(origin, move |registries| async move { registries.head_blob(&asked, &digest).await }).await
    }

    /// A blob from this offset on.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let turn = self.turns(origin)?.content().await?;
        let (asked, digest) = (origin.clone(), *digest);
        self.run(move |registries| async move { Ok(registries.blob(&asked, &digest, from).await?.holding(turn)) }).await
    }

    /// These bytes of a blob, at least one; `None` where upstream ignores ranges.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        let turn = self.turns(origin)?.range().await?;
        let (requested, digest) = (origin.clone(), *digest);
        let request = move |registries: Registries| async move {
            let content = registries.blob_range(&requested, &digest, &range).await?;
            Ok(content.map(|content| content.holding(turn)))
        };
        self.run(request).await
    }

    /// A page of the list of tags.
    pub async fn tags(&self, origin: &Origin, query: &ListQuery) -> Result<ListAnswer, UpstreamError> {
        let (asked, query) = (origin.clone(), query.clone());
        self.question(origin, |registries| async move { registries.tags(&asked, &query).await }).await
    }

    /// A page of the list of manifests that refer to this one; `NotFound` also where upstream knows no such list.
    pub async fn referrers(
        &self,
        origin: &Origin,
        digest: &Digest,
        query: &ListQuery,
    ) -> Result<ListAnswer, UpstreamError> {
        let (asked, digest, query) = (origin.clone(), *digest, query.clone());
        self.question(origin, move |registries| async move { registries.referrers(&asked, &digest, &query).await })
            .await
    }

    /// Runs what is over with its answer, in its turn.
    async fn question<T, F>(
        &self,
        origin: &Origin,
        work: impl FnOnce(Registries) -> F + Send + 'static,
    ) -> Result<T, UpstreamError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UpstreamError>> + Send + 'static,
    {
        let turn = self.turns(origin)?.question().await?;
        let in_turn = |registries| async move {
            let _turn = turn;
            work(registries).await
        };
        self.run(in_turn).await
    }

    async fn run<T, F>(&self, work: impl FnOnce(Registries) -> F + Send + 'static) -> Result<T, UpstreamError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UpstreamError>> + Send + 'static,
    {
        let registries = self.current.load().registries.clone();
        let ask = Ask(Box::new(move || Box::pin(work(registries))));
        self.actor.send(ask).await.unwrap_or(Err(UpstreamError::Lost))
    }

    fn turns(&self, origin: &Origin) -> Result<Arc<Turns>, UpstreamError> {
        self.current.load().turns.get(&origin.upstream).cloned().ok_or(UpstreamError::NotConfigured)
    }
}

impl Current {
    /// The limits of an upstream stay, with those that are under way, unless they are others now.
    fn changed_to(&self, upstreams: Vec<UpstreamOptions>) -> Result<Self, SetupError> {
        let turns = |options: &UpstreamOptions| {
            let known = self.turns.get(&options.name).filter(|turns| turns.are_of(options)).cloned();
            (options.name.clone(), known.unwrap_or_else(|| Arc::new(Turns::new(options))))
        };
        let turns = upstreams.iter().map(turns).collect();
        Ok(Self { registries: self.registries.changed_to(upstreams)?, turns })
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

impl<T: Send + 'static> Message for Ask<T> {
    type Result = Result<T, UpstreamError>;
}

impl<T: Send + 'static> Handler<Ask<T>> for UpstreamFetcher {
    type Result = ResponseFuture<Result<T, UpstreamError>>;

    fn handle(&mut self, Ask(work): Ask<T>, _: &mut Context<Self>) -> Self::Result {
        // A task of its own: a panic in the work ends as an error of whoever asked.
        let running = actix_rt::spawn(async move { work().await });
        Box::pin(async move { running.await.unwrap_or(Err(UpstreamError::Lost)) })
    }
}

impl Turns {
    fn new(options: &UpstreamOptions) -> Self {
        let permits = |number: usize| Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS)));
        Self {
            upstream: options.name.clone(),
            contents: permits(options.max_concurrent),
            questions: permits(options.max_concurrent),
            ranges: permits(options.max_concurrent),
            waiting: permits(options.max_waiting),
            max_concurrent: options.max_concurrent,
            max_waiting: options.max_waiting,
        }
    }

    fn are_of(&self, options: &UpstreamOptions) -> bool {
        (self.max_concurrent, self.max_waiting) == (options.max_concurrent, options.max_waiting)
    }

    async fn content(&self) -> Result<Turn, UpstreamError> {
        self.turn(&self.contents, "content", CONTENT_WAIT_TIMEOUT).await
    }

    async fn question(&self) -> Result<Turn, UpstreamError> {
        self.turn(&self.questions, "question", SHORT_WAIT_TIMEOUT).await
    }

    async fn range(&self) -> Result<Turn, UpstreamError> {
        self.turn(&self.ranges, "range", SHORT_WAIT_TIMEOUT).await
    }

    /// Waits for a turn, if not too many do, and not for long.
    async fn turn(&self, permits: &Arc<Semaphore>, kind: &'static str, limit: Duration) -> Result<Turn, UpstreamError> {
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_all_taken) => self.wait(permits, limit).await.inspect_err(|_| refused("upstream"))?,
        };
        let labels = [("upstream", self.upstream.to_string()), ("kind", kind.to_owned())];
        let in_flight = metrics::gauge!("dependency_proxy_upstream_in_flight", &labels);
        in_flight.increment(1);
        Ok(Turn { _permit: permit, in_flight })
    }

    async fn wait(&self, permits: &Arc<Semaphore>, limit: Duration) -> Result<OwnedSemaphorePermit, UpstreamError> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_all_taken| UpstreamError::Busy)?;
        let gauge = metrics::gauge!("dependency_proxy_upstream_waiting", "upstream" => self.upstream.to_string());
        let _place = Turn { _permit: place, in_flight: gauge.clone() };
        gauge.increment(1);
        let waited = tokio::time::timeout(limit, permits.clone().acquire_owned()).await;
        waited.map_err(|_elapsed| UpstreamError::Busy)?.map_err(|_closed| UpstreamError::Lost)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_panic_in_the_work_is_an_error_of_its_asker_alone() {
        let arbiter = Arbiter::new();
        let upstream = Upstream::start(Vec::new(), &arbiter.handle()).unwrap();
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
        let turns =
            Turns::new(&UpstreamOptions { max_concurrent: 1, max_waiting: 16, ..UpstreamOptions::new(name, "") });
        let taken = turns.content().await.unwrap();
        let waiting = futures::future::join_all((0..17).map(|_| turns.content())).await;
        assert!(waiting.iter().all(|turn| matches!(turn, Err(UpstreamError::Busy))));
        drop(taken);
        assert!(turns.content().await.is_ok() && turns.question().await.is_ok());
    }
}
